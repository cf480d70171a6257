"""What other settings would remove: selection again, by the scores that are there."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from numpy import ndarray
from pydantic import ValidationError

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder, RemovalFolder
from prunescope.artifacts.passes import BlockValues
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.summary import PruningSummary
from prunescope.config.candidates import Deciding
from prunescope.config.messages import sentence
from prunescope.config.patches import Patch, merge
from prunescope.criteria import CRITERIA
from prunescope.errors import ConfigError
from prunescope.importance.decision import summarise
from prunescope.importance.prior import choose_prior
from prunescope.importance.selection import select
from prunescope.importance.table import build_table
from prunescope.steps.job import Job
from prunescope.trial.measured import plan_digest


@dataclass(frozen=True)
class Cut:
    """What a setting removes."""

    plan: PruningPlan
    summary: PruningSummary

    @cached_property
    def digest(self) -> str:
        return plan_digest(self.plan)


@dataclass(frozen=True)
class Scores:
    """What selection by other settings rests on.

    Attributes:
        experiment: its name. settings: those in force. facts: the model.
        saliency: float32 ``[groups]`` under ``{criterion}/{layer}.{block}``.
        losses: the prior; None: the experiment does without.
    """

    experiment: str
    settings: Deciding
    facts: ModelFacts
    saliency: dict[str, ndarray]
    losses: BlockValues | None

    @classmethod
    def read(cls, job: Job[Any, ExperimentFolder], settings: Deciding, facts: ModelFacts) -> "Scores":
        """Read them from the folders of the shared steps."""
        losses = job.input(RemovalFolder).losses.read() if job.reads(RemovalFolder) else None
        return cls(job.spec.experiment, settings, facts, job.input(GradientsFolder).saliency.read(), losses)

    @property
    def criteria(self) -> list[str]:
        """The criteria that the gradient pass scored, in the order of their table."""
        found = {name.partition("/")[0] for name in self.saliency}
        return [name for name in CRITERIA if name in found]

    @classmethod
    def by_first_half(cls, job: Job[Any, ExperimentFolder], settings: Deciding, facts: ModelFacts) -> "Scores":
        """Read those by the first half of the calibration windows, of the criteria that have some."""
        return replace(cls.read(job, settings, facts), saliency=job.input(GradientsFolder).first_half.read())

    def cut(self, patch: Patch) -> Cut:
        """Select by the settings of the experiment with `patch`.

        Raises:
            ConfigError: a value is out of range, limits contradict one another, or a score or a prior is not there.
            BudgetError: the ratio cannot be reached under the limits.
        """
        settings = self.changed(patch)
        method = settings.method
        if method.needs_prior and self.losses is None:
            raise ConfigError(f"needs the {method.prior} prior, which the experiment does without")
        prefix = f"{method.criterion}/"
        scores = {name[len(prefix) :]: values for name, values in self.saliency.items() if name.startswith(prefix)}
        if not scores:
            raise ConfigError(f"the gradient pass did not score '{method.criterion}'")
        prior = choose_prior(self.losses, method.tau) if method.needs_prior and self.losses else None
        table = build_table(self.facts.blocks, scores, prior, method, settings.corrections)
        chosen = select(table, self.facts, method.ratio, settings.limits, CRITERIA[method.criterion].unit)
        return Cut(chosen.plan, summarise(self.facts, chosen, prior, self.experiment))

    def changed(self, patch: Patch) -> Deciding:
        """Return the settings of the experiment with `patch`.

        Raises:
            ConfigError: a value is out of range.
        """
        try:
            return Deciding.model_validate(merge(self.settings.model_dump(mode="json"), patch))
        except ValidationError as error:
            raise ConfigError(sentence(error, Deciding, self.experiment)) from None
