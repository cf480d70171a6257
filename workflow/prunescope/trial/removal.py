"""The removal prior: how much the loss rises when a block contributes nothing.

All removals climb the layers together. At each layer three residual streams join the stack, without its attention, its
MLP and both: nothing below is computed again. A layer runs on the whole stack, some windows at a time, before the next
one does, so that its weights are read once for all removals below.

With L layers a window passes L + 3L (L - 1) / 2 of them, and L MLPs more: half of 3L + 1 full passes. The head runs
3L + 1 times all the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.artifacts.facts import KINDS
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, predicted_tokens, token_losses
from prunescope.models.sweep import Sweep
from prunescope.progress import Progress
from prunescope.trial.blocks import PARTS, BlockImportance, check_finite
from prunescope.trial.similarity import Distances

HELD = 16
"""Streams that are held per window of a call: they take about as much memory as the activations of its MLP."""


@dataclass(frozen=True)
class RemovalLosses(BlockImportance):
    """The loss increases and, from the same pass, the similarity prior."""

    similarity: BlockImportance


@torch.no_grad()
def measure_removal(adapter: ModelAdapter, windows: Tensor, batch_size: int, held: int | None = None) -> RemovalLosses:
    """Measure the loss increase of removing each attention block, MLP block and layer.

    A removed block adds zero to the residual stream (returning its normalised input instead would add
    that to the residual).

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        batch_size: windows that a layer takes at a time.
        held: residual streams of windows that exist at a time (at least three), beside the dense one of
            some windows; None: `HELD` times `batch_size`. Neither size changes the result.

    Raises:
        NonFiniteError: a loss is NaN or infinite; names the layer.
    """
    count, device = len(adapter.layers), adapter.device
    climb = _Climb(adapter, windows[:1].to(device), batch_size, held or HELD * batch_size)
    sums = torch.zeros(1 + 3 * count, device=device, dtype=torch.float64)
    progress = Progress("removal", total=len(windows) * 3 * count, unit="removals")
    for part in batches(windows, climb.windows(), device):
        sums += climb.losses(part)
        progress.advance(len(part) * 3 * count)
    dense, *without = (sums / predicted_tokens(windows)).tolist()
    similarity = climb.distances.result(dense, windows.numel())
    rises = (torch.tensor(without, dtype=torch.float64) - dense).view(count, 3)
    for layer in range(count):
        rises[layer, [adapter.module(layer, kind) is None for kind in KINDS] + [False]] = 0.0
    values = dict(zip(PARTS, rises.T, strict=True))
    check_finite(values, "the loss without the {part} of layer {layer}")
    return RemovalLosses(**values, dense=dense, tokens=windows.numel(), similarity=similarity)


class _Climb:
    """Runs windows up the layers, whole and with each removal.

    Args:
        example: see `Sweep`.
        call, held: `batch_size` and `held` of `measure_removal`.
    """

    def __init__(self, adapter: ModelAdapter, example: Tensor, call: int, held: int) -> None:
        self.adapter, self.call, self.held = adapter, call, held
        self.count = len(adapter.layers)
        self.distances = Distances(self.count, example.device)
        self._run = Sweep(adapter, example).run

    def windows(self) -> int:
        """Return how many windows to climb with: all their removals are held at a time if possible."""
        return min(self.call, max(1, self.held // (3 * self.count)))

    def losses(self, input_ids: Tensor) -> Tensor:
        """Return the summed loss of the whole model and of each removal, by layer: float64 ``[1 + 3 layers]``."""
        dense = self.adapter.embed(input_ids)
        span = max(1, self.held // (3 * len(input_ids)))
        found = []
        for first in range(0, self.count, span):
            dense, stack = self._climb(dense, first, min(first + span, self.count))
            found.append(self._sums(stack, input_ids))
        return torch.cat([self._sums(dense, input_ids), *found])

    def _climb(self, dense: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Climb from layer `first` with the removals of the layers before `last`.

        Args:
            dense: the stream of the whole model before layer `first`, ``[windows, tokens, d]``.

        Returns:
            the stream of the whole model before layer `last`, and those of the removals after the topmost
            layer, ``[3 (last - first) windows, tokens, d]``.
        """
        stack = dense.new_empty(3 * (last - first) * len(dense), *dense.shape[1:])
        filled = 0
        for layer in range(first, self.count):
            for begin in range(0, filled, self.call):
                rows = stack[begin : min(begin + self.call, filled)]
                rows.copy_(self._run(layer, rows))
            if layer < last:
                between, after, without_attention = self._parts(layer, dense)
                self.distances.note(layer, dense, between, after)
                for stream in (without_attention, between, dense):
                    stack[filled : filled + len(dense)] = stream
                    filled += len(dense)
                dense = after
        return dense, stack

    def _parts(self, layer: int, dense: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the stream between the blocks of a layer, after it, and after it without its attention."""
        with self.adapter.silenced(layer, "mlp"):
            between = self._run(layer, dense)
        with self.adapter.silenced(layer, "attention"):
            after, without_attention = self._run(layer, torch.cat([between, dense])).chunk(2)
        return between, after, without_attention

    def _sums(self, streams: Tensor, input_ids: Tensor) -> Tensor:
        """Return the summed loss of each stream of all windows, float64 ``[streams]``."""
        targets = input_ids[:, 1:].repeat(len(streams) // len(input_ids), 1)
        losses = [
            token_losses(self.adapter.logits, hidden[:, :-1], wanted).sum(dim=1, dtype=torch.float64)
            for hidden, wanted in zip(streams.split(self.call), targets.split(self.call), strict=True)
        ]
        return torch.cat(losses).view(-1, len(input_ids)).sum(dim=1)
