"""Surgery: the plan becomes a checkpoint that loads."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import ModelFolder
from prunescope.steps.spec import ExperimentSpec, Planning
from prunescope.steps.step import Step
from prunescope.steps.work import Work


class PruningSpec(ExperimentSpec):
    """Cut the weights and write the checkpoint."""

    step = "pruning"
    version = 2
    refit: bool = Field(False, description="Write the fitted weights of the refit step.")
    scales: bool = Field(False, description="Write the weights of the scales step.")
    # Another gate is no reason to cut the same checkpoint again.
    aside = frozenset({"stop_if_critical"})
    stop_if_critical: bool = Field(False, description="Cut nothing where a finding of the diagnosis is critical.")

    @property
    def repairs(self) -> set[str]:
        """Names of the steps whose weights are written."""
        return {name for name in ("refit", "scales") if getattr(self, name)}

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["PruningSpec"]:
        settings = planned.experiment.settings
        stop = settings.diagnosis.on_critical == "fail"
        repair = settings.repair
        yield cls(**common, refit=repair.refit.enabled, scales=repair.scales.enabled, stop_if_critical=stop)


STEPS = (
    Step(
        PruningSpec,
        "pruning.prune:prune",
        Own,
        needs=(Own.plan, Own.fitted, Own.scaled),
        # A report that is merely worded anew must not cut again.
        looks_at=(ModelFolder.facts, Own.diagnosis),
        timed=True,
        work=Work(1.5, 5, gpu=False),
    ),
)
