"""From calibration text to the plan: gradients (all criteria in one pass), the removal prior (T > 0), selection."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, ModelFolder, RemovalFolder
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.config.sections import Corrections, Gradients, Limits, Method, Removal
from prunescope.steps.spec import ExperimentSpec, Planning, SharedSpec
from prunescope.steps.step import Step

SHORTER_WINDOWS = (
    "lower calibration.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more beside the weights"
)


class GradientsSpec(Gradients, SharedSpec):
    """Score every criterion in one gradient pass."""

    step = "gradients"
    version = 2

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["GradientsSpec"]:
        yield cls(**common, **dict(planned.experiment.settings.gradients))

    @property
    def slug(self) -> str:
        return self.slug_of("calibration")


class RemovalSpec(Removal, SharedSpec):
    """Measure what each block and each layer is worth: the prior."""

    step = "removal"
    prior: Literal["removal", "similarity"]

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RemovalSpec"]:
        settings = planned.experiment.settings
        if settings.method.needs_prior:
            # The similarity is measured; nothing is estimated.
            default = {"estimate": "exact"} if settings.method.prior == "similarity" else {}
            yield cls(**common, prior=settings.method.prior, **dict(settings.removal) | default)

    @property
    def slug(self) -> str:
        return self.slug_of("calibration")


class ImportanceSpec(ExperimentSpec):
    """Score the groups and select what goes."""

    step = "importance"
    version = 2
    method: Method
    corrections: Corrections
    limits: Limits

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ImportanceSpec"]:
        settings = planned.experiment.settings
        yield cls(**common, method=settings.method, corrections=settings.corrections, limits=settings.limits)


STEPS = (
    Step(
        GradientsSpec,
        "importance.gradients:collect",
        GradientsFolder,
        needs=(CalibrationFolder.samples,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        out_of_memory=SHORTER_WINDOWS,
    ),
    Step(
        RemovalSpec,
        "trial.prior:measure",
        RemovalFolder,
        needs=(CalibrationFolder.samples,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        out_of_memory=SHORTER_WINDOWS,
    ),
    Step(
        ImportanceSpec,
        "importance.decision:score_and_select",
        Own,
        needs=(GradientsFolder.saliency, GradientsFolder.statistics, GradientsFolder.stability, RemovalFolder.losses),
        looks_at=(ModelFolder.facts,),
    ),
)
