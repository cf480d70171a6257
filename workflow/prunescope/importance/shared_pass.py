"""A pass whose batches several jobs share: what each leaves, and what all of them amount to.

Of evidence that is reduced batch by batch every job keeps sums by group, which add up. The mean gradient that `taylor`
needs is as large as the weights: jobs would have to pass that on, so its pass is not shared.
"""

import re
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor

from prunescope.importance.collector import Collector
from prunescope.importance.criteria import FORMULAS
from prunescope.importance.modes import Mode
from prunescope.importance.one_pass import Effort, GradientPass, Pass
from prunescope.models.adapter import ModelAdapter
from prunescope.models.memory import out_of_memory, release
from prunescope.progress import Progress
from prunescope.shards import Shard

ALL, FIRST_HALF = "all", "first half"
"""Of which of its batches a job keeps sums: the ranking by the first half of them all needs its own."""


def shared_mode(name: str) -> Mode:
    """Return how each job keeps its evidence."""
    return Mode("gate") if name == "gate" else Mode("stream", reason="several jobs share the windows")


def numbers_of(shard: Shard, windows: int, batch_size: int) -> range:
    """Return the numbers of the batches of a shard; none where there are fewer batches than shards."""
    batches = range(-(-windows // batch_size))
    return batches[shard.rows(len(batches))]


class SharedPass(Pass):
    """A pass of which one job runs some batches, or completes what others ran."""

    def sums_of(self, shard: Shard) -> dict[str, Tensor]:
        """Run a shard of the batches, at least one; return all that was gathered, float64, on the CPU."""
        numbers = numbers_of(shard, self.extent.samples, self.effort.batch_size)
        progress = Progress("gradients", sum(self.parts[number].numel() for number in numbers), "tokens")
        begin, loss, first = time.perf_counter(), 0.0, {}
        with ExitStack() as stack:
            for collector in self.collectors:
                collector.attach(stack)
            if self.effort.checkpointing:
                stack.enter_context(self.adapter.checkpointed())
            for number in numbers:
                loss += self._batch(number)
                progress.advance(self.parts[number].numel())
                if number + 1 == min(self.first_batches, numbers.stop):
                    first = self._gathered(FIRST_HALF, numbers)
        gathered = self._gathered(ALL, numbers)
        none = {name.replace(ALL, FIRST_HALF, 1): torch.zeros_like(values) for name, values in gathered.items()}
        seconds = {"seconds": time.perf_counter() - begin, "statistics": self.observer.stopwatch.seconds()}
        scalars = {name: torch.tensor(value, dtype=torch.float64) for name, value in ({"loss": loss} | seconds).items()}
        return none | first | gathered | scalars

    def _gathered(self, what: str, numbers: range) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for collector in self.collectors:
            for name, values in collector.sums.items():
                place, values = _name(what, collector, name), values.detach().double().cpu().clone()
                if name.startswith("statistics/"):  # a row per batch, of this job's alone
                    rows = slice(numbers.start, numbers.stop)
                    values = torch.zeros_like(values).index_put_((torch.tensor(numbers),), values[rows])
                found[place] = values
                # A job may have no even or no odd batch.
                for half in "01":
                    found.setdefault(re.sub("/[01]/", f"/{half}/", place, count=1), torch.zeros_like(values))
        return found

    def completed(self, sums: dict[str, Tensor]) -> GradientPass:
        """Return what the sums of all batches amount to."""
        layers = range(len(self.adapter.layers))
        self._restore(FIRST_HALF, sums)
        if self.first_batches:
            self.half_way(self.first_batches - 1, layers)
        self._restore(ALL, sums)
        for layer in layers:
            for collector in self.collectors:
                collector.finish(layer)
        result = self._result(sums["loss"].item() / self.predicted)
        return replace(result, statistics_seconds=sums["statistics"].item())

    def _restore(self, what: str, sums: dict[str, Tensor]) -> None:
        for collector in self.collectors:
            prefix = _name(what, collector, "")
            collector.sums |= {name.removeprefix(prefix): sums[name] for name in sums if name.startswith(prefix)}


def _name(what: str, collector: Collector, name: str) -> str:
    return f"{what}:{type(collector).__name__}:{name}"


def shared_pass(
    adapter: ModelAdapter, windows: Tensor, criteria: Iterable[str], batch_size: int, mode: Mode, checkpointing: bool
) -> SharedPass:
    """Return a pass to run a shard of, or to complete; arguments as of `collect_gradients`."""
    chosen = {name: FORMULAS[name] for name in mode.scored(criteria)}
    return SharedPass(adapter, windows, chosen, Effort(batch_size, checkpointing or adapter.offloaded), mode)


def run_shard(
    adapter: ModelAdapter,
    windows: Tensor,
    criteria: Iterable[str],
    batch_size: int,
    mode: Mode,
    checkpointing: bool,
    shard: Shard,
) -> dict[str, Tensor]:
    """Return the sums of a shard; layers are checkpointed when memory runs out.

    Raises:
        torch.OutOfMemoryError: the batches do not fit. The other jobs have them of this size, so they stay as they are.
    """
    try:
        return shared_pass(adapter, windows, criteria, batch_size, mode, checkpointing).sums_of(shard)
    except RuntimeError as error:
        if checkpointing or not out_of_memory(error):
            raise
    release()
    return shared_pass(adapter, windows, criteria, batch_size, mode, True).sums_of(shard)
