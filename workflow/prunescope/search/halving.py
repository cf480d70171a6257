"""The loop: settings are asked for in groups, measured on few windows first, and the best of them on more."""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from prunescope.artifacts.plan import PruningPlan
from prunescope.config.patches import Patch
from prunescope.errors import PrunescopeError
from prunescope.progress import Progress
from prunescope.search.knobs import Places, Space
from prunescope.trial.cuts import Cut

log = logging.getLogger(__name__)

GROUP = 16
"""Settings that are asked for at a time, and measured in one sweep; not more where more would fit, since the next ones
depend on what was measured of them."""
KEPT = 3
"""One in so many goes on to more windows."""
RUNGS = (4, 16)
"""Windows per text, before all of them."""
NO_NUMBER = "what the model loses by it is no number"

Measure = Callable[[Mapping[str, PruningPlan], int], Mapping[str, float]]
"""Takes plans by digest and the number of a rung; returns by digest what the search makes small, inf for no number."""


@dataclass
class Tried:
    """A setting that was tried.

    Attributes:
        number: of the trial. places, patch: what it changes. start: whether the search began with it.
        cut: what it removes; None where it cannot be reached. reason: why it was not measured.
        values: what was measured, by rung.
    """

    number: int
    places: Places
    patch: Patch
    start: bool
    cut: Cut | None = None
    reason: str = ""
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Halving:
    """A search over a space.

    Attributes:
        decide: returns what a patch removes. measure: see `Measure`. rungs: how many there are.
        seed: of the sampler. The same seed and the same measurements give the same settings.
    """

    space: Space
    decide: Callable[[Patch], Cut]
    patch: Callable[[Places], Patch]
    measure: Measure
    rungs: int
    seed: int

    def run(self, starts: Sequence[Places], trials: int, seconds: float | None = None) -> list[Tried]:
        """Return all settings that were tried, the starts first; the best start is measured on every rung.

        Args:
            trials: how many; the starts count. seconds: ask for no more after this time.
        """
        begun, tried = time.monotonic(), list[Tried]()
        with quiet():
            study = optuna.create_study(sampler=TPESampler(seed=self.seed, multivariate=True, constant_liar=True))
            for places in starts:
                study.enqueue_trial(places)
            progress = Progress("search", total=trials, unit="settings")
            while len(tried) < trials and (seconds is None or not tried or time.monotonic() - begun < seconds):
                count = min(GROUP, trials - len(tried))
                asked = [study.ask(self.space.distributions) for _ in range(count)]
                group = [self._try(trial.number, trial.params, trial.number < len(starts)) for trial in asked]
                self._climb(group)
                for trial, one in zip(asked, group, strict=True):
                    for rung, value in enumerate(one.values):
                        trial.report(value, rung)
                    whole = len(one.values) == self.rungs
                    study.tell(trial, one.values[-1] if whole else None, None if whole else TrialState.PRUNED)
                tried += group
                found = best(tried, self.rungs)
                progress.advance(count, f"best KL {found.values[-1]:.4g}" if found else "")
        self._finish_start(tried)
        return tried

    def _try(self, number: int, places: Places, start: bool) -> Tried:
        one = Tried(number, places, self.patch(places), start)
        try:
            one.cut = self.decide(one.patch)
        except PrunescopeError as error:
            one.reason = str(error)
        return one

    def _climb(self, group: Sequence[Tried]) -> None:
        """Measure settings rung by rung, of each the best third of the last; those that cut the same go together."""
        alive = [one for one in group if one.cut]
        for rung in range(self.rungs):
            self._measure(alive, rung)
            alive = [one for one in alive if not one.reason]
            plans = sorted({digest_of(one): one.values[-1] for one in alive}.items(), key=lambda found: found[1])
            kept = {digest for digest, _ in plans[: -(-len(plans) // KEPT)]}
            alive = [one for one in alive if digest_of(one) in kept]

    def _measure(self, some: Sequence[Tried], rung: int) -> None:
        plans = {one.cut.digest: one.cut.plan for one in some if one.cut}
        found = self.measure(plans, rung) if plans else {}
        for one in some:
            value = found[digest_of(one)]
            if math.isfinite(value):
                one.values.append(value)
            else:
                one.reason = NO_NUMBER

    def _finish_start(self, tried: Sequence[Tried]) -> None:
        """Measure the best start on the rungs that it has not reached."""
        starts = [one for one in tried if one.start and one.values]
        one = min(starts, key=lambda found: (-len(found.values), found.values[-1]), default=None)
        while one and len(one.values) < self.rungs and not one.reason:
            self._measure([one], len(one.values))


def digest_of(one: Tried) -> str:
    """Return what stands for the plan of a setting that has one."""
    assert one.cut is not None
    return one.cut.digest


def best(tried: Iterable[Tried], rungs: int) -> Tried | None:
    """Return the best of the settings that were measured on every rung."""
    return next(iter(ranked(tried, rungs)), None)


def ranked(tried: Iterable[Tried], rungs: int) -> list[Tried]:
    """Return the settings that were measured on every rung, the best first, each plan once."""
    whole = (one for one in tried if len(one.values) == rungs)
    return each_plan_once(sorted(whole, key=lambda one: one.values[-1]))


def each_plan_once(some: Iterable[Tried]) -> list[Tried]:
    """Return settings, of those that cut the same the first."""
    first: dict[str, Tried] = {}
    for one in some:
        first.setdefault(digest_of(one), one)
    return [*first.values()]


def importances(tried: Iterable[Tried], space: Space) -> dict[str, float]:
    """Return how much each setting matters for being among the best on the first rung; none where too few are known.

    PED-ANOVA (Watanabe et al. 2023).
    """
    study = optuna.create_study()
    with quiet():
        for one in tried:
            if one.values:
                study.add_trial(
                    optuna.trial.create_trial(
                        params=dict(one.places), distributions=space.distributions, value=one.values[0]
                    )
                )
        if len(study.trials) < GROUP:
            return {}
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


@contextmanager
def quiet() -> Iterator[None]:
    """Mute the log of Optuna, and its warnings that a sampler may still change."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
