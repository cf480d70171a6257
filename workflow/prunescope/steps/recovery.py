"""Training of the pruned model, where it is asked for (`recover` in an experiment's name)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import EvaluationTextFolder, ModelFolder, RecoveryTextFolder
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.config.leakage import Leakage
from prunescope.config.sections import Dtype, Recovery
from prunescope.packages import PEFT
from prunescope.steps.evaluation import SHORTER
from prunescope.steps.spec import ExperimentSpec, Planning, ScatteredSpec
from prunescope.steps.step import Step
from prunescope.steps.texts import leakage, recovery_dataset
from prunescope.steps.work import Work


class RecoverySpec(Recovery, ExperimentSpec):
    """Train the pruned model, and write what it learned into its weights."""

    step = "recovery"

    @property
    def needs_package(self) -> bool:
        return self.train == "lora"

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RecoverySpec"]:
        told = planned.experiment.settings.recovery
        if told.enabled:
            # Without the unpruned model beside it, the checkpoint alone decides.
            inputs = {step: key for step, key in common["inputs"].items() if told.distils or step != ModelFolder.step}
            yield cls(**dict(common) | {"inputs": inputs}, **dict(told))


class RecoveredSpec(ScatteredSpec, ExperimentSpec):
    """Evaluate the trained model on the windows of the pruned and the unpruned one."""

    step = "recovered"
    dtype: Dtype
    leakage: dict[str, Leakage] = Field(description="Of each evaluated text, by calibration and recovery.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RecoveredSpec"]:
        experiment = planned.experiment
        if experiment.settings.recovery.enabled:
            known = leakage(experiment, recovery_dataset(experiment))
            yield cls(**common, dtype=experiment.settings.evaluation.dtype, leakage=known)


STEPS = (
    Step(
        RecoverySpec,
        "recovery.steps:train_and_merge",
        Own,
        needs=(Own.checkpoint, RecoveryTextFolder.samples),
        looks_at=(ModelFolder.facts, RecoveryTextFolder.manifest),
        package=PEFT,
        timed=True,
        work=Work(4, 100),
        out_of_memory="the model must fit on one device as a whole: take a larger one, or leave recovery out",
    ),
    Step(
        RecoveredSpec,
        "evaluation.steps:evaluate_recovered",
        Own,
        part="evaluation.steps:recovered_part",
        needs=(Own.recovered, EvaluationTextFolder.windows, Own.perplexity, Own.windows, Own.words),
        timed=True,
        work=Work(2, 15),
        out_of_memory=SHORTER,
    ),
)
