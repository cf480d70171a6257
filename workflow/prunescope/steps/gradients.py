"""The two expensive steps: gradients (all criteria in one pass) and, for T > 0, the removal prior."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, ModelFolder, RemovalFolder
from prunescope.config.sections import Gradients, Removal
from prunescope.steps.spec import SharedSpec
from prunescope.steps.step import Step

if TYPE_CHECKING:
    from prunescope.steps.planned import Planned

SHORTER_WINDOWS = (
    "lower calibration.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more beside the weights"
)


class GradientsSpec(Gradients, SharedSpec):
    """Score every criterion in one gradient pass."""

    step = "gradients"
    version = 2

    @classmethod
    def of(cls, planned: "Planned", common: Mapping[str, Any]) -> Iterable["GradientsSpec"]:
        yield cls(**common, **dict(planned.experiment.settings.gradients))

    @property
    def slug(self) -> str:
        return self.slug_of("calibration")


class RemovalSpec(Removal, SharedSpec):
    """Measure what each block and each layer is worth: the prior."""

    step = "removal"
    prior: Literal["removal", "similarity"]

    @classmethod
    def of(cls, planned: "Planned", common: Mapping[str, Any]) -> Iterable["RemovalSpec"]:
        settings = planned.experiment.settings
        if settings.method.needs_prior:
            # The similarity is measured; nothing is estimated.
            default = {"estimate": "exact"} if settings.method.prior == "similarity" else {}
            yield cls(**common, prior=settings.method.prior, **dict(settings.removal) | default)

    @property
    def slug(self) -> str:
        return self.slug_of("calibration")


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
)
