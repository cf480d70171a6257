"""Repairs of what the cut leaves, where they are asked for (`refit` and `scales` in an experiment's name)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import ModelFolder, RefitTextFolder
from prunescope.config.sections import Dtype, Scales
from prunescope.steps.spec import ExperimentSpec, Planning
from prunescope.steps.step import Step
from prunescope.steps.work import Work


class RefitSpec(ExperimentSpec):
    """Fit the kept columns of each output projection to the residual stream of the unpruned model."""

    step = "refit"
    version = 2
    ridge: tuple[float, ...]
    dtype: Dtype

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RefitSpec"]:
        told = planned.experiment.settings.repair.refit
        if told.enabled:
            yield cls(**common, ridge=told.ridge, dtype=told.dtype)


class ScalesSpec(Scales, ExperimentSpec):
    """Train one factor per kept group, and fold it into the output projection."""

    step = "scales"
    refit: bool = Field(False, description="Begin with the fitted weights of the refit step.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ScalesSpec"]:
        repair = planned.experiment.settings.repair
        if repair.scales.enabled:
            yield cls(**common, **dict(repair.scales), refit=repair.refit.enabled)


STEPS = (
    Step(
        RefitSpec,
        "pruning.repair:fit_projections",
        Own,
        needs=(Own.plan, RefitTextFolder.samples),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(2, 30),
        out_of_memory="lower repair.refit.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more "
        "beside the weights",
    ),
    Step(
        ScalesSpec,
        "recovery.scales:train_scales",
        Own,
        needs=(Own.plan, Own.fitted, RefitTextFolder.samples),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(4, 30),
        out_of_memory="the model must fit on one device as a whole: take a larger one, or leave scales out",
    ),
)
