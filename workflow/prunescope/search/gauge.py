"""How close plans keep the model to the unpruned one: what a search makes small, on more and more windows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy import ndarray

from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.search import Closeness, Gain
from prunescope.artifacts.trials import TriedText, WindowLosses
from prunescope.evaluation.bootstrap import exponential, overall_interval
from prunescope.search.halving import RUNGS
from prunescope.trial.measured import Meter, finite, nothing, plan_digest


@dataclass(frozen=True)
class Gauge:
    """Measures plans on the first windows of each text, rung by rung; what a rung adds is measured alone, and once.

    Attributes:
        at_once: whether there is one rung alone, which has all windows.
    """

    meter: Meter
    at_once: bool = False

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Windows per text of each rung; the last has all."""
        most = max(len(windows) for windows in self.meter.windows.values())
        return (*(windows for windows in RUNGS if windows < most and not self.at_once), most)

    @cached_property
    def dense(self) -> str:
        """The digest of the plan that removes nothing."""
        return plan_digest(nothing(self.meter.facts))

    def losses(self, plans: Mapping[str, PruningPlan], rung: int) -> dict[str, WindowLosses]:
        """Return what each plan loses on all windows up to a rung, by its digest, and what the dense model loses."""
        ends = self.rungs[: rung + 1]
        spans = [slice(begin, end) for begin, end in zip((0, *ends), ends, strict=False)]
        parts = [self.meter.measure(plans, span) for span in spans]
        return {digest: _joined(part[digest] for part in parts) for digest in parts[0]}

    def kl(self, plans: Mapping[str, PruningPlan], rung: int) -> dict[str, float]:
        """Return the KL(dense || pruned) of each plan, nats per position: the mean of all texts.

        Nats add up as log perplexities do, and no text weighs more for its windows. Six digits: the last bits depend on
        what was measured together, which must decide nothing.
        """
        return {digest: float(f"{mean_kl(losses):.6g}") for digest, losses in self.losses(plans, rung).items()}

    def closeness(self, plan: PruningPlan) -> dict[str, Closeness]:
        """Return how close a plan keeps the model, by text, on all windows."""
        losses = self._whole(plan)
        return {
            name: Closeness(
                perplexity=exponential(_array(losses[0], name).mean()),
                ratio=exponential((_array(losses[0], name) - _array(losses[1], name)).mean()),
                kl=np.array(losses[0].divergence[name], dtype=float).mean(),
            )
            for name in self.meter.windows
        }

    def gain(self, plan: PruningPlan, other: PruningPlan) -> Gain:
        """Return the perplexity of a plan, divided by that of another."""
        one, two = self._whole(plan)[0], self._whole(other)[0]
        differences = [_array(one, name) - _array(two, name) for name in self.meter.windows]
        low, high = overall_interval(differences) or (None, None)
        return Gain(ratio=exponential(fmean(found.mean() for found in differences)), low=low, high=high)

    def texts(self) -> dict[str, TriedText]:
        """Describe the windows of each text."""
        losses = self.losses({}, len(self.rungs) - 1)[self.dense]
        return {
            name: TriedText(
                windows=len(windows),
                tokens=len(windows) * (windows.shape[1] - 1),
                dense=exponential(_array(losses, name).mean()),
            )
            for name, windows in self.meter.windows.items()
        }

    def _whole(self, plan: PruningPlan) -> tuple[WindowLosses, WindowLosses]:
        digest = plan_digest(plan)
        found = self.losses({digest: plan}, len(self.rungs) - 1)
        return found[digest], found[self.dense]


def mean_kl(losses: WindowLosses) -> float:
    """Return the mean of the texts of their windows' mean; infinity where a loss is no number."""
    if not finite(losses):
        return np.inf
    return fmean(np.array(values, dtype=float).mean() for values in losses.divergence.values())


def _joined(parts: Iterable[WindowLosses]) -> WindowLosses:
    """Put the windows of each text one after the other."""
    loss: dict[str, list[float | None]] = {}
    divergence: dict[str, list[float | None]] = {}
    for part in parts:
        for joined, more in ((loss, part.loss), (divergence, part.divergence)):
            for name, values in more.items():
                joined[name] = joined.get(name, []) + values
    return WindowLosses(loss=loss, divergence=divergence)


def _array(losses: WindowLosses, text: str) -> ndarray:
    return np.array(losses.loss[text], dtype=float)
