"""The similarity prior: how far each block and each layer turns the residual stream, from one dense pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from prunescope.importance.activations import distance_sum
from prunescope.models.adapter import ModelAdapter
from prunescope.trial.blocks import PARTS, BlockImportance, Sums, check_finite
from prunescope.trial.interventions import Intervention, measure

WINDOWS = 16
"""Whose streams are compared at a time."""


class Distances:
    """Sums of 1 - cos of the residual stream around each block and each layer."""

    def __init__(self, layers: int, device: torch.device) -> None:
        self.sums = {part: torch.zeros(layers, dtype=torch.float64, device=device) for part in PARTS}

    def note(self, layer: int, before: Tensor, between: Tensor, after: Tensor) -> None:
        """Add the tokens of a batch: their stream before a layer, between its two blocks, and after it."""
        # Where layers are read as they run, the streams are those of all windows, and too many to widen at once.
        for one, two, three in zip(*(stream.split(WINDOWS) for stream in (before, between, after)), strict=True):
            for part, ends in {"attention": (one, two), "mlp": (two, three), "layer": (one, three)}.items():
                sums = self.sums[part]
                sums[layer] += distance_sum(*ends).to(sums.device)

    def named(self) -> Sums:
        """Return the sums on the CPU, by names of their own."""
        return {f"distance/{part}": values.cpu() for part, values in self.sums.items()}


def mean_distances(sums: Sums) -> BlockImportance:
    """Return the means over all tokens.

    Args:
        sums: `Distances.named` and, ``[1 + ...]``, the losses of `removal.loss_sums`, of which the first counts.

    Raises:
        NonFiniteError: the residual stream was NaN or infinite; names the layer.
    """
    tokens = int(sums["tokens"])
    means = {part: sums[f"distance/{part}"] / tokens for part in PARTS}
    check_finite(means, "the residual stream at the {part} of layer {layer}")
    return BlockImportance(**means, dense=(sums["loss"][0] / sums["windows"]).item(), tokens=tokens)


def measure_similarity(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Measure 1 - E_t cos of the residual stream before and after each attention block, MLP block and layer.

    The value of a layer is its block influence (ShortGPT: Men et al. 2024, eq. 1).

    Args:
        windows: int ``[n, tokens]``. batch_size: windows that a layer takes at a time; does not change the result.

    Raises:
        NonFiniteError: the residual stream is NaN or infinite.
    """
    return mean_distances(similarity_sums(adapter, windows, batch_size))


@torch.no_grad()
def similarity_sums(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> Sums:
    """Return what `mean_distances` takes; arguments as of `measure_similarity`."""
    return loss_sums(adapter, windows, [], batch_size)


@torch.no_grad()
def loss_sums(
    adapter: ModelAdapter,
    windows: Tensor,
    interventions: Sequence[Intervention],
    batch_size: int,
    held: int | None = None,
) -> Sums:
    """Return what the model loses without and with each intervention, and how far its blocks turn the stream.

    Args:
        windows: int ``[n, tokens]``, full windows without padding. batch_size, held: see `interventions.measure`.

    Returns:
        ``loss``: ``[1 + interventions]``, the mean token loss of each window, summed over the windows; what
        `Distances.named` returns; and how many ``windows`` and ``tokens`` there are.
    """
    distances = Distances(len(adapter.layers), adapter.device)
    found = measure(adapter, windows, interventions, batch_size, held, divergence=False, watch=distances.note)
    counts = {"windows": len(windows), "tokens": windows.numel()}
    counted = {name: torch.tensor(count, dtype=torch.float64) for name, count in counts.items()}
    return {"loss": found.loss.sum(dim=1)} | distances.named() | counted
