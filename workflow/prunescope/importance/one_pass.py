"""One try at a pass over the calibration windows: the whole model up and down, batch by batch."""

import logging
import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.artifacts.stability import Stability
from prunescope.errors import NonFiniteError
from prunescope.importance.activations import GateDerivatives, InputNorms, LayerInfluence
from prunescope.importance.collector import Batch, Collector, Extent, Scores, Weights
from prunescope.importance.criteria import Terms
from prunescope.importance.gradient_collector import WAY_OUT, GradientCollector
from prunescope.importance.modes import Mode
from prunescope.importance.partial import PartialSums, Reached
from prunescope.importance.statistics import GradientStatistics
from prunescope.importance.weight_gradients import WeightGradients
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Effort:
    """What a pass asks of the memory: windows per batch, and whether layers are checkpointed."""

    batch_size: int
    checkpointing: bool

    def smaller(self) -> "Effort | None":
        """Return what to try when memory runs out; None: nothing is left to try.

        Checkpointing comes first, for it changes no number: every activation is computed twice. Then
        batches are halved, which the statistics and the terms per batch depend on.
        """
        if not self.checkpointing:
            return Effort(self.batch_size, True)
        return Effort(self.batch_size // 2, True) if self.batch_size > 1 else None


@dataclass
class GradientPass:
    """What one pass over the calibration windows yields.

    Attributes:
        saliency: criterion -> block name (``"{layer}.{kind}"``) -> float32 ``[groups]``, on the CPU.
        first_half: the same by the first half of the batches alone, of the criteria of gradients; empty with a single
            batch.
        loss: mean token loss over all windows, in nats.
        tokens: of all windows. computed: those that this run computed, the rest an earlier one.
        statistics: of |g| per parameter and batch (in ``gate`` mode: of |∂L/∂a| per output projection).
        stability: of the ranking between two halves of the batches.
        statistics_seconds: what the statistics cost.
        effort: how the pass fitted into memory.
        resumed: batches that an earlier run had done. resumed_layers: layers, of a pass that goes layer by layer.
    """

    saliency: dict[str, Scores]
    first_half: dict[str, Scores]
    loss: float
    tokens: int
    computed: int
    statistics: GradientStatistics
    stability: Stability
    statistics_seconds: float
    effort: Effort
    resumed: int = 0
    resumed_layers: int = 0


class Pass:
    """A pass that runs the whole model, batch by batch."""

    def __init__(
        self, adapter: ModelAdapter, windows: Tensor, chosen: dict[str, Terms], effort: Effort, mode: Mode
    ) -> None:
        self.adapter, self.chosen, self.effort = adapter, chosen, effort
        self.parts = batches(windows, effort.batch_size, adapter.device)
        self.predicted = sum(predicted_tokens(part) for part in self.parts)
        self.extent = Extent(samples=len(windows), tokens=windows.numel(), batches=len(self.parts))
        self.collectors, self.observer = self._collectors(mode)

    def _collectors(self, mode: Mode) -> tuple[list[Collector], GradientCollector]:
        """Return the collectors that the criteria need, and the one whose gradients the statistics are of."""
        told = self.adapter, self.chosen, self.extent
        gates = GateDerivatives(*told, observes=mode.name == "gate")
        observer = gates if mode.name == "gate" else WeightGradients(*told, mode.accumulators)
        others = [*(kind(*told) for kind in (Weights, InputNorms, LayerInfluence)), gates]
        return [one for one in others if one.criteria and one is not observer] + [observer], observer

    def run(self, partial: PartialSums | None) -> GradientPass:
        reached = (partial.reached() if partial else None) or Reached(self.effort.batch_size, 0, 0.0)
        if partial and reached.batches:
            partial.restore(self.collectors)
            log.info("going on after batch %s of %s", reached.batches, self.extent.batches)
        resumed, loss_sum = reached.batches, reached.loss_sum
        progress = Progress("gradients", total=self.extent.tokens, unit="tokens")
        progress.skip(sum(part.numel() for part in self.parts[:resumed]))
        with ExitStack() as stack:
            for collector in self.collectors:
                collector.attach(stack)
            if self.effort.checkpointing:
                stack.enter_context(self.adapter.checkpointed())
            for number in range(resumed, self.extent.batches):
                loss = self._batch(number)
                loss_sum += loss
                self.half_way(number, range(len(self.adapter.layers)))
                part = self.parts[number]
                progress.advance(part.numel(), f"loss {loss / predicted_tokens(part):.3f}")
                if partial and number + 1 < self.extent.batches:
                    partial.save_if_due(Reached(self.effort.batch_size, number + 1, loss_sum), self.collectors)
        for layer in range(len(self.adapter.layers)):
            for collector in self.collectors:
                collector.finish(layer)
        return self._result(loss_sum / self.predicted, resumed)

    @property
    def first_batches(self) -> int:
        """How many batches are the first half of them; 0: there is a single one."""
        return self.extent.batches // 2

    @property
    def first_samples(self) -> int:
        """The windows of these batches."""
        return sum(len(part) for part in self.parts[: self.first_batches])

    def half_way(self, number: int, layers: Iterable[int]) -> None:
        """Keep the scores of layers by the first half of the batches, if `number` is the last one of these."""
        if number + 1 != self.first_batches:
            return
        for layer in layers:
            for collector in self._of_gradients():
                collector.half_way(layer, self.first_samples / self.extent.samples)

    def _batch(self, number: int) -> float:
        """Run one batch up and down; return its summed loss. One transfer tells that all of it is finite."""
        part = self.parts[number]
        count = predicted_tokens(part)
        batch = Batch(number, samples=len(part), share=count / self.predicted)
        for collector in self.collectors:
            collector.begin_batch(batch)
        with torch.enable_grad():
            loss = next_token_losses(self.adapter.model, part).sum()
        for collector in self.collectors:
            collector.begin_backward()
        (loss / count).backward()
        watched = self.observer.watched()
        value, *largest = transfer([loss.detach(), *watched.values()])
        check_loss(self.adapter, part, value, number)
        self.observer.check(dict(zip(watched, largest, strict=True)))
        return value

    def _result(self, loss: float, resumed: int = 0, resumed_layers: int = 0) -> GradientPass:
        return GradientPass(
            saliency={name: _saliency(name, self.collectors) for name in self.chosen},
            first_half=self._first_half(),
            loss=loss,
            tokens=self.extent.tokens,
            computed=sum(part.numel() for part in self.parts[resumed:]),
            statistics=self.observer.statistics([part.numel() for part in self.parts]),
            stability=self._stability(),
            statistics_seconds=self.observer.stopwatch.seconds(),
            effort=self.effort,
            resumed=resumed,
            resumed_layers=resumed_layers,
        )

    def _first_half(self) -> dict[str, Scores]:
        """Return the scores by the first half, of the criteria whose terms are all of gradients."""
        served = {name: [one for one in self.collectors if name in one.criteria] for name in self.chosen}
        ours = {name: [one for one in found if one in self._of_gradients()] for name, found in served.items()}
        complete = {name: found for name, found in ours.items() if self.first_batches and found == served[name]}
        return {name: _added([one.first(name) for one in found]) for name, found in complete.items()}

    def _of_gradients(self) -> list[GradientCollector]:
        return [collector for collector in self.collectors if isinstance(collector, GradientCollector)]

    def _stability(self) -> Stability:
        collectors = self._of_gradients()
        found = {collector.compared: collector.agreement() for collector in collectors}
        return Stability(
            criterion=self.observer.compared,
            layers=found.pop(self.observer.compared),
            samples=self.extent.samples,
            first_samples=self.first_samples,
            others=found,
        )


def transfer(scalars: list[Tensor]) -> list[float]:
    """Bring scalars to the host, those of a device at once."""
    values: dict[int, float] = {}
    for device in {scalar.device for scalar in scalars}:
        places = [place for place, scalar in enumerate(scalars) if scalar.device == device]
        stacked = torch.stack([scalars[place].double() for place in places]).tolist()
        values |= dict(zip(places, stacked, strict=True))
    return [values[place] for place in range(len(scalars))]


def _saliency(name: str, collectors: list[Collector]) -> Scores:
    """Add up the terms of a criterion over the collectors that have some."""
    scores = _added([collector.scores(name) for collector in collectors if name in collector.criteria])
    bad = [block for block, values in scores.items() if not values.isfinite().all()]
    if bad:
        raise NonFiniteError(f"the {name} saliency is not finite in blocks {bad[0]} to {bad[-1]}; {WAY_OUT}")
    return scores


def _added(parts: Sequence[Scores]) -> Scores:
    return {block: sum(part[block].float().cpu() for part in parts) for block in parts[0]}


def check_loss(adapter: ModelAdapter, batch: Tensor, loss: float, number: int) -> None:
    if math.isfinite(loss):
        return
    dtype = str(next(adapter.model.parameters()).dtype).removeprefix("torch.")
    raise NonFiniteError(
        f"the loss of batch {number} is {loss}, compute dtype {dtype}; the residual stream is first "
        f"not finite {first_nonfinite(adapter, batch)}; {WAY_OUT}"
    )


@torch.no_grad()
def first_nonfinite(adapter: ModelAdapter, batch: Tensor) -> str:
    """Say where the residual stream of a batch first holds NaN or infinity."""
    with adapter.recording_inputs() as calls:
        adapter.model(batch, use_cache=False)
    bad = (layer for layer, (hidden, _) in enumerate(calls) if not torch.isfinite(hidden).all())
    layer = next(bad, None)
    if layer is None:
        return f"after layer {len(calls) - 1} or in the head"
    return f"after layer {layer - 1}" if layer else "in the embedding"
