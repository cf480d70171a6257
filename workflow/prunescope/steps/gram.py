"""What a refitted experiment's candidates are refitted by, before the cut."""

from collections.abc import Iterable, Mapping
from typing import Any

from prunescope.artifacts.folders import GramFolder, ModelFolder, RefitTextFolder
from prunescope.config.sections import Dtype
from prunescope.steps.spec import Planning, SharedSpec
from prunescope.steps.step import Step
from prunescope.steps.work import Work


class GramSpec(SharedSpec):
    """Sum up, on the text of the refit, how the inputs of each output projection go together."""

    step = "gram"
    dtype: Dtype

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["GramSpec"]:
        settings = planned.experiment.settings
        if settings.repair.refit.enabled and (settings.trial.enabled or settings.method.searched):
            yield cls(**common, dtype=settings.repair.refit.dtype)

    @property
    def slug(self) -> str:
        return self.slug_of("refit_text")


STEPS = (
    Step(
        GramSpec,
        "pruning.repair:keep_grams",
        GramFolder,
        needs=(RefitTextFolder.samples,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(2, 30),
        out_of_memory="lower repair.refit.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more "
        "beside the weights",
    ),
)
