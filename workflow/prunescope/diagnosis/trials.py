"""The trial step: what other settings would cut, and what the model loses by it on held-out text."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy import ndarray

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder, ModelFolder, TrialTextFolder
from prunescope.artifacts.parts import Part
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.trials import Candidate, Distance, Effect, LessText, Trials, TriedText, WindowLosses
from prunescope.config.sections import Diagnosis, Settings
from prunescope.diagnosis.candidates import Proposal, proposals
from prunescope.diagnosis.evidence import join_evidence
from prunescope.diagnosis.inputs import read_rates, read_statistics
from prunescope.diagnosis.measures import measure as measures_of
from prunescope.diagnosis.situation import Context, Situation
from prunescope.errors import NonFiniteError, PrunescopeError
from prunescope.evaluation.bootstrap import exponential, mean_interval, overall_interval, ratio_interval
from prunescope.shards import Shard
from prunescope.steps.job import Job
from prunescope.steps.trial import TrialSpec
from prunescope.trial.cuts import Cut, Scores
from prunescope.trial.measured import BlockRefit, Meter, finite, nothing, plan_digest

log = logging.getLogger(__name__)

TrialJob = Job[TrialSpec, ExperimentFolder]
RATES = ("ratio_of_total", "attention_rate", "mlp_rate")


def measure(job: TrialJob) -> None:
    """Select by the settings of every candidate, and measure all plans in one sweep over the trial windows.

    Raises:
        DataError: a file is missing or damaged.
        NonFiniteError: what the model loses by the experiment's own plan is no number.
    """
    spec, folder, now, text = job.spec, job.folder, situation(job), job.input(TrialTextFolder)
    with job.recording() as record:
        if not text.manifest.read().texts:
            left_out = text.manifest.read().left_out
            folder.trials.write(Trials(texts={}, left_out=left_out, measured=0, rank=0, candidates=[]))
            record.metrics = {"trial/measured": 0}
            log.warning("no settings are tried: no text is held out")
            return
        facts = job.input(ModelFolder).ready()
        tries, meter = decide(job, now, facts), Meter(text, facts, refit=BlockRefit.of(job))
        losses = meter.measure(tries.plans, gathered=job.gathered)
        effects = Effects(losses, plan_digest(nothing(facts)), tries.own.digest)
        candidates = [_described(proposal, cut, now.context, effects) for proposal, cut in tries.decided]
        texts = {name: effects.text(name, windows.shape) for name, windows in meter.windows.items()}
        passed = job.input(GradientsFolder).record
        seconds = passed.read().seconds if passed.exists() else None
        less = less_text(job, tries.half, effects) if tries.half else None
        trials = ranked(candidates, texts, text.manifest.read().left_out, seconds, less)
        refitted = {} if spec.ridge is None else {"ridge": spec.ridge}
        trials = trials.model_copy(update={"vocabulary": meter.vocabulary, **refitted})
        folder.trials.write(trials)
        record.metrics = {
            "trial/best_ratio": trials.best.ratio or math.nan,
            "trial/rank": trials.rank,
            "trial/measured": trials.measured,
        }
        record.tags |= meter.tags
    log.info("best: %s; %s is %d of %d", trials.best.name, spec.experiment, trials.rank, trials.measured)


def measure_part(job: TrialJob, shard: Shard) -> Part:
    """Return what all plans of the trial lose on a shard of the windows of each text."""
    text = job.input(TrialTextFolder)
    if not text.manifest.read().texts:
        return Part()
    facts = job.input(ModelFolder).ready()
    return Meter(text, facts, refit=BlockRefit.of(job)).part(decide(job, situation(job), facts).plans, shard)


@dataclass(frozen=True)
class Tries:
    """What a trial measures.

    Attributes:
        decided: the proposals, the experiment itself first, each with what it cuts or why it cannot be tried.
        own: what the experiment cuts. half: what its settings cut by the first half of the text, where that is known.
    """

    decided: list[tuple[Proposal, Cut | str]]
    own: Cut
    half: Cut | None

    @property
    def plans(self) -> dict[str, PruningPlan]:
        """All plans, by digest."""
        cuts = [cut for _, cut in self.decided if isinstance(cut, Cut)] + ([self.half] if self.half else [])
        return {cut.digest: cut.plan for cut in cuts}


def decide(job: TrialJob, now: Situation, facts: ModelFacts) -> Tries:
    """Select by the settings of every candidate."""
    folder = job.folder
    scores = Scores.read(job, folder.decided(job.spec), facts)
    own = Cut(PruningPlan.read(folder.plan.path, facts), folder.summary.read())
    decided = [_decide(scores, proposal) for proposal in proposals(job.spec, now, scores.criteria)]
    return Tries([(Proposal("experiment", {}, now.context.name), own), *decided], own, half_cut(job, facts))


def situation(job: TrialJob) -> Situation:
    """Return what the remedies look at: the settings in force, and what was measured of the experiment."""
    spec, folder = job.spec, job.folder
    statistics, rates = read_statistics(folder.statistics.path), read_rates(folder.summary.path)
    evidence = join_evidence(statistics, rates, folder.table.read())
    settings = Settings(**dict(folder.decided(spec)))
    thresholds = Diagnosis(extreme_rate=spec.extreme_rate, early_layers=spec.early_layers)
    context = Context(spec.model, spec.experiment, settings, spec.start, folder.plain_name(spec))
    return Situation(context, evidence, measures_of(evidence, thresholds), thresholds)


def half_cut(job: TrialJob, facts: ModelFacts) -> Cut | None:
    """Return what the experiment's settings cut by the first half of the text; None: there are no such scores."""
    scores = Scores.by_first_half(job, job.folder.decided(job.spec), facts)
    return scores.cut({}) if scores.settings.method.criterion in scores.criteria else None


def less_text(job: TrialJob, half: Cut, effects: "Effects") -> LessText | None:
    """Return what less text does; None where it leaves no model."""
    if not finite(effects.losses[half.digest]):
        return None
    windows = job.input(GradientsFolder).stability.read()
    ratio = effects.overall(half.digest)["ratio"]
    assert ratio is not None
    distance = effects.distance(half.digest)
    return LessText(samples=windows.first_samples, of=windows.samples, ratio=ratio, distance=distance)


def _decide(scores: Scores, proposal: Proposal) -> tuple[Proposal, Cut | str]:
    """Return what a proposal cuts, or why it cannot be tried."""
    try:
        return proposal, scores.cut(proposal.patch)
    except PrunescopeError as error:
        return proposal, str(error)


@dataclass(frozen=True)
class Effects:
    """What plans lose, beside the experiment's own.

    Attributes:
        losses: by digest of the plan. dense, own: the digests of the plan that removes nothing, and of the experiment.

    Raises:
        NonFiniteError: the experiment's own losses are no numbers.
    """

    losses: dict[str, WindowLosses]
    dense: str
    own: str

    def __post_init__(self) -> None:
        if not finite(self.losses[self.own]):
            raise NonFiniteError("the loss of the pruned model on the trial windows is no number; choose another cut")

    def text(self, name: str, shape: Sequence[int]) -> TriedText:
        """Describe a text whose windows are ``[windows, tokens]``."""
        windows, tokens = shape
        dense = exponential(self._loss(self.dense, name).mean())
        return TriedText(windows=windows, tokens=windows * (tokens - 1), dense=dense)

    def of(self, plan: str) -> dict[str, Effect]:
        """Return what a plan does, by text."""
        return {name: self._effect(plan, name) for name in self.losses[plan].loss}

    def _effect(self, plan: str, text: str) -> Effect:
        loss, own = self._loss(plan, text), self._loss(self.own, text)
        # All windows predict the same number of tokens, so that the sum of a window's losses is as good as its mean.
        interval = ratio_interval(loss, own, np.ones(len(loss)))
        low, high = interval or (None, None)
        return Effect(
            perplexity=exponential(loss.mean()),
            ratio=exponential((loss - own).mean()),
            low=low,
            high=high,
            kl=self._divergence(plan, text).mean(),
        )

    def overall(self, plan: str) -> dict[str, float | None]:
        """Return the geometric mean of its ratios, and the interval of that."""
        differences = [self._loss(plan, text) - self._loss(self.own, text) for text in self.losses[plan].loss]
        low, high = overall_interval(differences) or (None, None)
        return {"ratio": exponential(fmean(found.mean() for found in differences)), "low": low, "high": high}

    def distance(self, plan: str) -> Distance:
        """Return how far its predictions are from the dense model's, beside the experiment's."""
        found, own = ([self._divergence(one, text) for text in self.losses[plan].loss] for one in (plan, self.own))
        differences = [one - other for one, other in zip(found, own, strict=True)]
        low, high = mean_interval(differences) or (None, None)
        kl, change = (fmean(values.mean() for values in texts) for texts in (found, differences))
        return Distance(kl=kl, change=change, low=low, high=high)

    def _divergence(self, plan: str, text: str) -> ndarray:
        return np.array(self.losses[plan].divergence[text], dtype=float)

    def _loss(self, plan: str, text: str) -> ndarray:
        return np.array(self.losses[plan].loss[text], dtype=float)


def _described(proposal: Proposal, cut: Cut | str, context: Context, effects: Effects) -> Candidate:
    name = str(proposal.name) if proposal.name else None
    told: dict[str, Any] = {
        "name": proposal.label or context.experiment,
        "kind": proposal.kind,
        "patch": proposal.patch,
        "experiment": name,
        "command": context.command(name),
    }
    if isinstance(cut, str):
        return Candidate(**told, reason=cut)
    told |= {"plan": cut.digest} | {rate: getattr(cut.summary, rate) for rate in RATES}
    if not finite(effects.losses[cut.digest]):
        return Candidate(**told, reason="what the model loses by it is no number")
    distance = effects.distance(cut.digest)
    return Candidate(**told, texts=effects.of(cut.digest), **effects.overall(cut.digest), distance=distance)


def ranked(
    candidates: Sequence[Candidate],
    texts: dict[str, TriedText],
    left_out: dict[str, str],
    gradient_seconds: float | None = None,
    less_text: LessText | None = None,
) -> Trials:
    """Return the candidates, nearest to the dense model first, each plan measured once.

    Args:
        candidates: the experiment first.
    """
    own, *_ = once = [*_each_plan_once(candidates)]
    best_first = sorted(once, key=_far)
    measured = [found for found in best_first if found.texts]
    rank = 1 + sum(_far(found) < _far(own) for found in measured)
    told = {"less_text": less_text} if less_text else {}
    return Trials(
        **told,
        texts=texts,
        left_out=left_out,
        measured=len(measured),
        rank=rank,
        gradient_seconds=gradient_seconds,
        candidates=best_first,
    )


def _far(candidate: Candidate) -> float:
    return math.inf if candidate.distance is None else candidate.distance.kl


def _each_plan_once(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    first: dict[str, str] = {}
    for found in candidates:
        if found.plan is None or found.plan not in first:
            yield found
            first |= {found.plan: found.name} if found.plan else {}
        else:
            unmeasured = dict.fromkeys(("ratio", "low", "high", "distance"))
            yield found.model_copy(update={**unmeasured, "texts": {}, "same_as": first[found.plan]})
