"""The refit: what the cut left of each output projection is fitted to bring the residual stream back to its course.

Block by block upwards, all tokens through a block before the next, climb two streams: that of the unpruned model, and
that of the model as it will be, whose blocks below are cut and fitted. A fit makes up for what the second lacks of the
first after its block: what the block itself loses, and what those below have left. The memory is that of one layer, its
sums and inputs, and the two streams.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.refit import BlockFit
from prunescope.errors import NonFiniteError
from prunescope.models.adapter import ModelAdapter, running
from prunescope.models.loss import batches
from prunescope.models.memory import trim
from prunescope.models.sweep import Streams, Sweep, rows_of
from prunescope.progress import Progress
from prunescope.pruning.as_cut import block_as_cut, kept_inputs, output_weights, projected
from prunescope.pruning.fitted import FittedLayers, Weights
from prunescope.pruning.least_squares import Sums, best_fit

if TYPE_CHECKING:  # it needs pydantic, which computing must do without
    from prunescope.artifacts.plan import BlockPlan, PruningPlan

HELD_OUT = 8
"""One of so many windows is held out of the fits, to choose their damping."""

DENSE, CUT = 0, 1
"""The streams: of the unpruned model, and of the model as it will be."""

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
        ridges: dampings to choose from, in units of the mean of diag(XᵀPX).
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
        self.tokens = windows.shape[1]
        fitting = batches(windows[:-held_out], batch_size, adapter.device)
        self.parts = fitting + batches(windows[-held_out:], batch_size, adapter.device)
        self.rows = rows_of(self.parts)
        self.fitting = len(fitting)
        self.names = output_weights(adapter)
        self.sweep = Sweep(adapter, self.parts[0][:1])
        self.streams = Streams(adapter, 2, self.count, self.tokens, done.folder.parent)
        self.parted = False
        staying = sum(not block.whole for block in plan.blocks)
        self.progress = Progress("refit", total=self.count * (len(plan.blocks) + staying), unit="windows of a block")

    def run(self) -> list[BlockFit]:
        for part, rows in zip(self.parts, self.rows, strict=True):
            for stream in (DENSE, CUT):
                self.streams.write(stream, rows, self.adapter.embed(part))
        fits: list[BlockFit] = []
        for layer in range(len(self.adapter.layers)):
            found = self.done.find(layer)
            weights, new = found or ({}, [])
            for block in (self.plan.block(layer, kind) for kind in KINDS):
                if found or block.whole or not len(block.removed):
                    self._pass(block, weights)
                else:
                    new.append(self._fit(block, weights))
            if not found:
                self.done.keep(layer, weights, new)
            fits += new
            trim()
        return fits

    def _fit(self, block: "BlockPlan", weights: Weights) -> BlockFit:
        """Fit a block, and take both streams through it."""
        self.parted = True
        self._climb(DENSE, block)
        layer, kind = block.facts.layer, block.facts.block
        name, projection = self.names[layer, kind], self.adapter.output_projection(layer, kind)
        kept = kept_inputs(self.adapter, block)
        cut = self.read(name).to(kept.device)[:, kept]
        sums, held_out = (Sums(len(kept), len(cut), cut.dtype, kept.device) for _ in range(2))
        inputs = Streams(self.adapter, 1, self.count, self.tokens, self.done.folder.parent, len(kept))
        for number, rows in enumerate(self.rows):
            taken = sums if number < self.fitting else held_out
            # The projection adds nothing while its inputs are taken, so that the stream is as it was.
            with running(projection, partial(_take, projection, kept, inputs, rows)):
                before = self._run(CUT, block, number)
            here = inputs.read(0, rows)
            lacking = self._lacking(rows, before + projected(projection, kept, None, here).to(before))
            taken.add(here, lacking.to(kept.device), self.streams.read(DENSE, rows).to(kept.device))
        if not (sums.finite and held_out.finite):
            raise NonFiniteError(
                f"the inputs of the output projection of the {kind} block of layer {layer} are not finite on the "
                f"pruned stream; {WAY_OUT}"
            )
        best = best_fit(sums, held_out, cut, self.ridges)
        if best.weight is not None:
            weights[name] = best.weight
        for rows in self.rows:
            before = self.streams.read(CUT, rows)
            added = projected(projection, kept, best.weight, inputs.read(0, rows))
            self.streams.write(CUT, rows, before + added.to(before))
        return BlockFit(layer, kind, best.ridge, best.cut_error, best.error)

    def _lacking(self, rows: slice, after: Tensor) -> Tensor:
        """Return what the cut stream lacks of the dense one, at least float32; their difference has few digits."""
        wide = torch.promote_types(after.dtype, torch.float32)
        return self.streams.read(DENSE, rows).to(wide) - after.to(wide)

    def _pass(self, block: "BlockPlan", weights: Weights) -> None:
        """Take both streams through a block as it is, and as it will be in the checkpoint."""
        self.parted = self.parted or bool(len(block.removed))
        self._climb(DENSE, block)
        if block.whole:
            return
        with ExitStack() as stack:
            if len(block.removed):
                fitted = weights.get(self.names[block.facts.layer, block.facts.block])
                stack.enter_context(block_as_cut(self.adapter, block, fitted))
            self._climb(CUT, block)

    def _climb(self, stream: int, block: "BlockPlan") -> None:
        """Take a stream through a block that computes what it computes now."""
        for number, rows in enumerate(self.rows):
            if stream == CUT and not self.parted:
                after = self.streams.read(DENSE, rows)
                self.progress.skip(len(self.parts[number]))
            else:
                after = self._run(stream, block, number)
            self.streams.write(stream, rows, after)

    def _run(self, stream: int, block: "BlockPlan", number: int) -> Tensor:
        """Return a stream of a batch after one block of a layer."""
        layer, kind = block.facts.layer, block.facts.block
        (other,) = (one for one in KINDS if one != kind)
        with self.adapter.silenced(layer, other):
            after = self.sweep.run(layer, self.streams.read(stream, self.rows[number]))
        self.progress.advance(len(self.parts[number]), f"{kind} of layer {layer}")
        return after


def _take(projection: nn.Linear, kept: Tensor, inputs: Streams, rows: slice, entering: Tensor) -> Tensor:
    """Keep what enters an output projection and stays; nothing leaves it yet."""
    inputs.write(0, rows, entering[..., kept])
    return entering.new_zeros(*entering.shape[:-1], projection.out_features)
