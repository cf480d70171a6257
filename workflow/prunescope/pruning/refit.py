"""The refit: what the cut left of each output projection is fitted to the unpruned block, on the pruned stream.

Block by block upwards, all tokens through a block before the next: the sums of its least squares are taken with the
stream that the blocks below, cut and fitted, leave. So a fit makes up for what its own block lost, and the memory is
that of one layer, its sums and one residual stream.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.artifacts.facts import KINDS, BlockKind
from prunescope.artifacts.refit import BlockFit
from prunescope.errors import NonFiniteError
from prunescope.models.adapter import ModelAdapter, running
from prunescope.models.loss import batches
from prunescope.models.memory import trim
from prunescope.models.sweep import Streams, Sweep, rows_of
from prunescope.progress import Progress
from prunescope.pruning.fitted import FittedLayers, Weights
from prunescope.pruning.least_squares import Sums, best_fit

if TYPE_CHECKING:  # it needs pydantic, which computing must do without
    from prunescope.artifacts.plan import BlockPlan, PruningPlan

HELD_OUT = 8
"""One of so many windows is held out of the fits, to choose their damping."""

WAY_OUT = "try repair.refit.dtype: float32, or check the checkpoint for damaged weights"


def held_out_windows(count: int) -> int:
    """Return how many of `count` windows, at least two, are held out; they are the last ones."""
    return max(1, count // HELD_OUT)


@torch.no_grad()
def refit(
    adapter: ModelAdapter,
    windows: Tensor,
    plan: "PruningPlan",
    read: Callable[[str], Tensor],
    ridges: Iterable[float],
    done: FittedLayers,
    batch_size: int,
) -> list[BlockFit]:
    """Fit the output projection of every block that loses some groups and keeps some.

    Args:
        windows: int ``[n, tokens]``, at least two full windows without padding.
        read: returns a parameter of the unpruned model as it is stored, whose dtype a fit is rounded to.
        ridges: dampings to choose from, in units of the mean of diag(XᵀX).
        done: takes the fitted weights, layer by layer; what it holds already is not fitted again.
        batch_size: windows that a layer takes at a time; does not change a number but by rounding.

    Returns:
        how each fit did on the held-out windows.

    Raises:
        NonFiniteError: the inputs of an output projection are NaN or infinite; names the layer.
    """
    return Refit(adapter, windows, plan, read, tuple(ridges), done, batch_size).run()


class Refit:
    """A refit under way; the arguments are those of `refit`."""

    def __init__(
        self,
        adapter: ModelAdapter,
        windows: Tensor,
        plan: "PruningPlan",
        read: Callable[[str], Tensor],
        ridges: tuple[float, ...],
        done: FittedLayers,
        batch_size: int,
    ) -> None:
        self.adapter, self.plan, self.read, self.ridges, self.done = adapter, plan, read, ridges, done
        self.count, held_out = len(windows), held_out_windows(len(windows))
        fitting = batches(windows[:-held_out], batch_size, adapter.device)
        self.parts = fitting + batches(windows[-held_out:], batch_size, adapter.device)
        self.rows = rows_of(self.parts)
        self.fitting = len(fitting)
        self.outputs = {
            (block.facts.layer, block.facts.block): next(one for one in block.weights if one.dim == 1)
            for block in adapter.blocks
        }
        self.sweep = Sweep(adapter, self.parts[0][:1])
        self.streams = Streams(adapter, 1, self.count, windows.shape[1], done.folder.parent)
        self.progress = Progress("refit", total=self._work(), unit="windows of a block")

    def run(self) -> list[BlockFit]:
        for part, rows in zip(self.parts, self.rows, strict=True):
            self.streams.write(0, rows, self.adapter.embed(part))
        fits: list[BlockFit] = []
        for layer in range(len(self.adapter.layers)):
            found = self.done.find(layer)
            weights, new = found or self._layer(layer)
            if found:
                self._climb(layer, weights)
            else:
                self.done.keep(layer, weights, new)
            fits += new
            trim()
        return fits

    def _work(self) -> int:
        """Return how many windows go through a block: once, and once more where it is fitted."""
        staying = [block for block in self.plan.blocks if not block.whole]
        return self.count * (len(staying) + sum(bool(len(block.removed)) for block in staying))

    def _layer(self, layer: int) -> tuple[Weights, list[BlockFit]]:
        """Fit the blocks of a layer, and take the stream through it."""
        weights: Weights = {}
        fits = []
        for kind in KINDS:
            block = self.plan.block(layer, kind)
            if len(block.removed) and not block.whole:
                fits.append(self._fit(block, weights))
            self._pass(block, weights)
        return weights, fits

    def _climb(self, layer: int, weights: Weights) -> None:
        """Take the stream through a layer that an earlier run has fitted."""
        for block in (self.plan.block(layer, kind) for kind in KINDS):
            if len(block.removed) and not block.whole:
                self.progress.skip(self.count)
            self._pass(block, weights)

    def _fit(self, block: "BlockPlan", weights: Weights) -> BlockFit:
        layer, kind = block.facts.layer, block.facts.block
        grouped, kept = self.outputs[layer, kind], self._kept(block)
        stored = self.read(grouped.name).to(kept.device)
        sums, held_out = Sums(stored, kept), Sums(stored, kept)
        projection = self.adapter.output_projection(layer, kind)
        for number in range(len(self.parts)):
            taken = sums if number < self.fitting else held_out
            with running(projection, partial(_take, projection, taken)):
                self._run(layer, kind, number)
        if not (sums.finite and held_out.finite):
            raise NonFiniteError(
                f"the inputs of the output projection of the {kind} block of layer {layer} are not finite on the "
                f"pruned stream; {WAY_OUT}"
            )
        best = best_fit(sums, held_out, stored, self.ridges)
        if best.weight is not None:
            weights[grouped.name] = best.weight
        return BlockFit(layer, kind, best.ridge, best.cut_error, best.error)

    def _pass(self, block: "BlockPlan", weights: Weights) -> None:
        """Take the stream through a block as it will be in the checkpoint."""
        if block.whole:
            return
        layer, kind = block.facts.layer, block.facts.block
        projection = self.adapter.output_projection(layer, kind)
        with ExitStack() as stack:
            if len(block.removed):
                fitted = weights.get(self.outputs[layer, kind].name)
                kept = self._kept(block).nonzero()[:, 0]
                stack.enter_context(running(projection, partial(_project, projection, kept, fitted)))
            for number, rows in enumerate(self.rows):
                self.streams.write(0, rows, self._run(layer, kind, number))

    def _run(self, layer: int, kind: BlockKind, number: int) -> Tensor:
        """Return the stream of a batch after one block of a layer."""
        (other,) = (one for one in KINDS if one != kind)
        with self.adapter.silenced(layer, other):
            after = self.sweep.run(layer, self.streams.read(0, self.rows[number]))
        self.progress.advance(len(self.parts[number]), f"{kind} of layer {layer}")
        return after

    def _kept(self, block: "BlockPlan") -> Tensor:
        """Return which inputs of the output projection stay, bool ``[columns]``, on the device that it is on."""
        projection = self.adapter.output_projection(block.facts.layer, block.facts.block)
        kept = torch.ones(block.facts.groups, dtype=torch.bool)
        kept[torch.from_numpy(block.removed)] = False
        width = self.outputs[block.facts.layer, block.facts.block].width
        return kept.repeat_interleave(width).to(projection.weight.device)


def _take(projection: nn.Linear, sums: Sums, inputs: Tensor) -> Tensor:
    """Add what enters an output projection to the sums; what leaves it is not looked at."""
    sums.add(inputs)
    return inputs.new_zeros(*inputs.shape[:-1], projection.out_features)


def _project(projection: nn.Linear, kept: Tensor, fitted: Tensor | None, inputs: Tensor) -> Tensor:
    """Compute what an output projection computes in the checkpoint; `fitted`: None for the plain cut."""
    weight = projection.weight[:, kept] if fitted is None else fitted.to(inputs)
    return functional.linear(inputs[..., kept], weight, projection.bias)
