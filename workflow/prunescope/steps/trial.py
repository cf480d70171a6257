"""The trial: other settings, measured before the cut."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import GradientsFolder, GramFolder, ModelFolder, RemovalFolder, TrialTextFolder
from prunescope.config.candidates import Deciding, configured
from prunescope.config.patches import Patch
from prunescope.config.sections.base import Rate
from prunescope.steps.importance import SHORTER_WINDOWS, RankedSpec
from prunescope.steps.spec import START, ExperimentSpec, Planning, ScatteredSpec
from prunescope.steps.step import Step
from prunescope.steps.work import Work


class TrialSpec(Deciding, RankedSpec, ScatteredSpec, ExperimentSpec):
    """Measure on held-out text what other settings would do that need no other pass over the model."""

    step = "trial"
    version = 3
    aside = ScatteredSpec.aside | {"start"}
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
                ridge=settings.repair.refit.middle,
                candidates=configured(settings),
                extreme_rate=settings.diagnosis.extreme_rate,
                early_layers=settings.diagnosis.early_layers,
            )


STEPS = (
    Step(
        TrialSpec,
        "diagnosis.trials:measure",
        Own,
        part="diagnosis.trials:measure_part",
        needs=(
            Own.search,
            Own.table,
            Own.plan,
            Own.summary,
            Own.statistics,
            GradientsFolder.saliency,
            GradientsFolder.first_half,
            RemovalFolder.losses,
            TrialTextFolder.windows,
            TrialTextFolder.manifest,
            GramFolder.layers,
        ),
        # How long the pass took.
        looks_at=(ModelFolder.facts, GradientsFolder.record, GradientsFolder.stability),
        timed=True,
        work=Work(2, 30),
        out_of_memory=SHORTER_WINDOWS,
    ),
)
