"""The trial: other settings, measured before the cut."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import GradientsFolder, ModelFolder, RemovalFolder, TrialTextFolder
from prunescope.config.candidates import configured
from prunescope.config.patches import Patch
from prunescope.config.sections import Corrections, Diagnosis, Limits, Method, Section, Settings
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
    aside = frozenset({"start"})
    start: str = Field(START, description="What the commands of the candidates begin with.")
    plain: Deciding = Field(description="Those of the model, without what the name of the experiment changes.")
    candidates: tuple[Patch, ...] = Field((), description="Those of the configuration.")
    diagnosis: Diagnosis = Field(description="Its thresholds are in the remedies.")

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
                diagnosis=thresholds(settings),
            )


def thresholds(settings: Settings) -> Diagnosis:
    """Return the thresholds of the diagnosis, without what follows from a finding."""
    return settings.diagnosis.model_copy(update={"on_critical": Diagnosis().on_critical})


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
