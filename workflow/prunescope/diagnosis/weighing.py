"""What the trial of other settings says: of the remedies of a finding, and first of all which setting is best."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunescope.artifacts.diagnosis import Expected, Remedy, TrialCheck, Verdict
from prunescope.artifacts.perplexity import shown
from prunescope.artifacts.trials import Candidate, Trials
from prunescope.config.candidates import DECIDES
from prunescope.config.patches import at, leaves, merge
from prunescope.config.sections import Method
from prunescope.diagnosis.changes import cap_rates, more_samples
from prunescope.diagnosis.rules.base import Rule
from prunescope.diagnosis.situation import Situation
from prunescope.diagnosis.words import Language

GRADIENT_PASS = 3.0
"""Forward passes that a gradient pass is worth: one forward, two backward."""


@dataclass(frozen=True)
class Weighing:
    """What was measured, and the words for it."""

    trials: Trials
    now: Situation
    words: Language

    def limits(self, rule: Rule) -> Iterator[Remedy]:
        """Yield the other limits on all blocks that were tried, where such a limit is a remedy of a rule."""
        highest = self.now.setting("limits", "max_rate") or 1.0
        for found in self.trials.candidates if cap_rates in rule.remedies else ():
            if found.kind == "cap" and at(found.patch, "limits.max_rate") < highest:
                told = found.model_dump(include={"patch", "experiment", "command"})
                yield Remedy(kind=cap_rates.kind, **told, what="")

    def ordered(self, remedies: Iterable[Remedy]) -> tuple[Remedy, ...]:
        """Return remedies with what was measured of them, the best first."""
        return tuple(sorted(map(self._weighed, remedies), key=lambda remedy: remedy.order))

    @property
    def check(self) -> TrialCheck:
        """The trial in short."""
        trials = self.trials
        return TrialCheck(
            measured=trials.measured,
            rank=trials.rank,
            windows=sum(text.windows for text in trials.texts.values()),
            verdict=verdict(trials.best, trials.own),
            best=trials.best,
            unmeasured=trials.reasons,
            **({"more_text": self.more_text} if self.more_text else {}),
        )

    @cached_property
    def more_text(self) -> Remedy | None:
        """More calibration text, where that promises more than what was measured."""
        patch = None if self.found_better else more_samples.patch(self.now)
        if patch is None or not more_samples.applies(self.now):
            return None
        name = self.now.context.named(patch)
        told = {"patch": patch, "experiment": str(name) if name else None, "command": self.now.context.command(name)}
        remedy = self._weighed(Remedy(kind=more_samples.kind, what=self.words.change(more_samples.kind, patch), **told))
        return remedy if remedy.verdict == "promising" else None

    @property
    def found_better(self) -> bool:
        """Whether another setting is better."""
        return verdict(self.trials.best, self.trials.own) == "better"

    @property
    def headline(self) -> str:
        """Which setting is best, in words; if it is the experiment itself, which other comes next."""
        trials, own = self.trials, self.trials.own
        if trials.worse_than_a_guess:
            return self.words.headline("broken_parent", {"dense": max(trials.worse_than_a_guess.values())})
        others = [candidate for candidate in trials.ranked if candidate.kind != "experiment"]
        if not others:
            return self.words.headline("alone", {})
        best = others[0]
        texts = {
            name: (shown(effect.perplexity, digits=1), shown(own.texts[name].perplexity, digits=1))
            for name, effect in best.texts.items()
        }
        kl = [one.distance.kl for one in (best, own) if one.distance]
        said: dict[str, Any] = {"name": best.experiment or best.name, "compared": compared(best)}
        said |= {"texts": texts, "kl": kl}
        clear = verdict(best, own) in ("better", "worse")
        kinds = ("best", "nearly_best") if trials.best is best else ("own", "nearly_own")
        check = self.check
        said |= {"measured": check.measured, "windows": check.windows}
        refitted = "" if trials.ridge is None else self.words.headline("refitted", {})
        return self.words.headline(kinds[not clear], said) + refitted + self._promise

    @property
    def _promise(self) -> str:
        if self.more_text is None or self.more_text.expected is None:
            return ""
        samples = at(self.more_text.patch, "calibration.samples")
        return self.words.headline("more_text", {"samples": samples, "ratio": self.more_text.expected.ratio})

    def _weighed(self, remedy: Remedy) -> Remedy:
        found = self.trials.find(remedy.patch, remedy.experiment)
        if found is None or found.plan is None:
            return remedy.model_copy(update=self._unmeasured(remedy, found))
        judged = verdict(found, self.trials.own)
        told: dict[str, Any] = {"verdict": judged, "measured": found.texts}
        told |= {"ratio": found.ratio, "low": found.low, "high": found.high, "distance": found.distance}
        effect = "broken" if found.distance is None else judged
        change = found.distance and found.distance.change
        said = self.words.effect(effect, compared=compared(found), change=change)
        return remedy.model_copy(update=told | {"effect": said})

    def _unmeasured(self, remedy: Remedy, found: Candidate | None) -> dict[str, Any]:
        """Say what measuring a remedy would take, or why it cannot be."""
        if found is not None and not self._needs_prior(remedy):
            return {"verdict": "impossible", "effect": self.words.effect("impossible", reason=found.reason)}
        told: dict[str, Any] = {"verdict": "unmeasured", "effect": self._cost(remedy)}
        expected = self._expected(remedy)
        if expected is None:
            return told
        promising = expected.ratio <= 1 - self.now.thresholds.worth
        said = self.words.effect("promised", cost=told["effect"], less=self.trials.less_text, ratio=expected.ratio)
        return told | {"verdict": "promising" if promising else "doubtful", "expected": expected, "effect": said}

    def _expected(self, remedy: Remedy) -> Expected | None:
        """Return what more windows will do; None where a remedy is something else, or no half was measured."""
        less, before = self.trials.less_text, self.now.setting("calibration", "samples")
        after = at(remedy.patch, "calibration.samples", None)
        if less is None or not before or not after or len(list(leaves(remedy.patch))) > 1:
            return None
        gain = less.gain(after / before) if less.clear else 0.0
        return Expected(ratio=less.ratio**-gain, change=-gain * less.distance.change)

    def _needs_prior(self, remedy: Remedy) -> bool:
        """Whether a remedy needs the prior where the experiment does without."""
        before, after = (merge(self.now.in_force, patch)["method"] for patch in ({}, remedy.patch))
        return Method.model_validate(after).needs_prior and not Method.model_validate(before).needs_prior

    def _cost(self, remedy: Remedy) -> str:
        if self._needs_prior(remedy):
            return self.words.effect("prior", seconds=self._seconds(self._of_the_prior()))
        if all(path.partition(".")[0] in DECIDES for path, _ in leaves(remedy.patch)):
            return self.words.effect("other_ratio")
        return self.words.effect("gradients", seconds=self._seconds(self._more_text(remedy)))

    def _seconds(self, passes: float) -> float | None:
        """Return what takes so many times the gradient pass; None where it is not known how long that took."""
        seconds = self.trials.gradient_seconds
        return None if seconds is None else seconds * passes

    def _of_the_prior(self) -> float:
        """Return how many gradient passes the prior is worth, by the forward passes of docs/performance.md."""
        samples, used = self.now.setting("calibration", "samples"), self.now.setting("removal", "samples")
        if self.now.setting("method", "prior") == "similarity":
            forward = 1.0
        elif self.now.setting("removal", "estimate") == "first_order":
            forward = 2.0
        else:
            forward = (3 * len(self.now.evidence.layers) + 1) / 2
        return forward / GRADIENT_PASS * (min(used, samples) / samples if used and samples else 1.0)

    def _more_text(self, remedy: Remedy) -> float:
        """Return how many times the calibration tokens a remedy takes."""
        factor = 1.0
        for setting in ("samples", "seq_len"):
            before = self.now.setting("calibration", setting)
            factor *= at(remedy.patch, f"calibration.{setting}", before) / before if before else 1.0
        return factor


def verdict(candidate: Candidate, own: Candidate) -> Verdict:
    """Judge a setting that cuts something by the interval of its distance; with none, nothing is left of the model."""
    if candidate.plan == own.plan:
        return "same"
    distance = candidate.distance
    if distance is None or (distance.low is not None and distance.low > 0):
        return "worse"
    return "better" if distance.high is not None and distance.high < 0 else "unclear"


def in_vain(remedies: Iterable[Remedy]) -> int:
    """Return how many remedies change the cut and do not improve the model; 0 where one of them does, or will."""
    verdicts = [remedy.verdict for remedy in remedies]
    vain = sum(verdicts.count(one) for one in ("worse", "unclear", "doubtful"))
    return 0 if "better" in verdicts or "promising" in verdicts else vain


def compared(candidate: Candidate) -> str:
    """Return a ratio with its interval, if it has one; nothing of a setting that leaves no model."""
    if candidate.ratio is None:
        return ""
    low, high = candidate.low, candidate.high
    return shown(candidate.ratio, None if low is None or high is None else (low, high))
