"""The refit of what the cut leaves, where it is asked for (`refit` in an experiment's name)."""

from collections.abc import Iterable, Mapping
from typing import Any

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import ModelFolder, RefitTextFolder
from prunescope.config.sections import Dtype
from prunescope.steps.spec import ExperimentSpec, Planning
from prunescope.steps.step import Step


class RefitSpec(ExperimentSpec):
    """Fit the kept columns of each output projection to the unpruned block."""

    step = "refit"
    ridge: tuple[float, ...]
    dtype: Dtype

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RefitSpec"]:
        told = planned.experiment.settings.repair.refit
        if told.enabled:
            yield cls(**common, ridge=told.ridge, dtype=told.dtype)


STEPS = (
    Step(
        RefitSpec,
        "pruning.repair:fit_projections",
        Own,
        needs=(Own.plan, RefitTextFolder.samples),
        looks_at=(ModelFolder.facts,),
        timed=True,
        out_of_memory="lower repair.refit.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more "
        "beside the weights",
    ),
)
