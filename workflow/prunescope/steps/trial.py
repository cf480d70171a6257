"""The trial: other settings, measured before the cut."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import GradientsFolder, ModelFolder, RemovalFolder, TrialTextFolder
from prunescope.config.candidates import configured
from prunescope.config.patches import Patch
from prunescope.config.sections import Corrections, Limits, Method, Section, Settings
from prunescope.config.sections.base import Rate
from prunescope.steps.importance import SHORTER_WINDOWS
from prunescope.steps.spec import START, ExperimentSpec, Planning
from prunescope.steps.step import Step


class Deciding(Section):
    """The settings that decide what is removed, once everything is scored."""

    method: Method
    corrections: Corrections
    limits: Limits

    @classmethod
    def within(cls, settings: Settings) -> "Deciding":
        return cls(method=settings.method, corrections=settings.corrections, limits=settings.limits)


class TrialSpec(Deciding, ExperimentSpec):
    """Measure on held-out text what other settings would do that need no other pass over the model."""

    step = "trial"
    version = 2
    aside = frozenset({"start"})
    start: str = Field(START, description="What the commands of the candidates begin with.")
    plain: Deciding = Field(description="Those of the model, without what the name of the experiment changes.")
    candidates: tuple[Patch, ...] = Field((), description="Those of the configuration.")
    extreme_rate: Rate = Field(description="Of the diagnosis, whose remedies limit rates to it.")
    early_layers: int = Field(description="Of the diagnosis, whose remedies protect them.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["TrialSpec"]:
        settings, plain = planned.experiment.settings, planned.experiment.plain
        if settings.trial.enabled:
            yield cls(
                **common,
                start=planned.run.start,
                **dict(Deciding.within(settings)),
                plain=Deciding.within(plain),
                candidates=configured(settings),
                extreme_rate=settings.diagnosis.extreme_rate,
                early_layers=settings.diagnosis.early_layers,
            )


STEPS = (
    Step(
        TrialSpec,
        "diagnosis.trials:measure",
        Own,
        needs=(
            Own.table,
            Own.plan,
            Own.summary,
            Own.statistics,
            GradientsFolder.saliency,
            RemovalFolder.losses,
            TrialTextFolder.windows,
            TrialTextFolder.manifest,
        ),
        # How long the pass took.
        looks_at=(ModelFolder.facts, GradientsFolder.record),
        timed=True,
        out_of_memory=SHORTER_WINDOWS,
    ),
)
