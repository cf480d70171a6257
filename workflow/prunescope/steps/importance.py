"""The importance table and the plan: seconds, no model needed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder, ModelFolder, RemovalFolder
from prunescope.config.sections import Corrections, Limits, Method
from prunescope.steps.spec import ExperimentSpec
from prunescope.steps.step import Step

if TYPE_CHECKING:
    from prunescope.steps.planned import Planned


class ImportanceSpec(ExperimentSpec):
    """Score the groups and select what goes."""

    step = "importance"
    version = 2
    method: Method
    corrections: Corrections
    limits: Limits

    @classmethod
    def of(cls, planned: "Planned", common: Mapping[str, Any]) -> Iterable["ImportanceSpec"]:
        settings = planned.experiment.settings
        yield cls(**common, method=settings.method, corrections=settings.corrections, limits=settings.limits)


STEPS = (
    Step(
        ImportanceSpec,
        "importance.decision:score_and_select",
        ExperimentFolder,
        needs=(
            GradientsFolder.saliency,
            GradientsFolder.statistics,
            GradientsFolder.stability,
            RemovalFolder.losses,
        ),
        looks_at=(ModelFolder.facts,),
    ),
)
