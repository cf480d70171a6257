"""From calibration text to the plan: gradients (all criteria in one pass), the prior (T > 0), search, selection."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from prunescope.artifacts.folders import (
    CalibrationFolder,
    GradientsFolder,
    GramFolder,
    ModelFolder,
    RemovalFolder,
    SearchTextFolder,
)
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.config.candidates import Deciding, configured
from prunescope.config.patches import Patch
from prunescope.config.sections import Dtype, Gradients, Refit, Removal, Section
from prunescope.criteria import CRITERIA
from prunescope.steps.spec import ExperimentSpec, Planning, ScatteredSpec, SharedSpec, Spec
from prunescope.steps.step import Step
from prunescope.steps.work import Work

SHORTER_WINDOWS = (
    "lower calibration.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more beside the weights"
)


class GradientsSpec(Gradients, ScatteredSpec, SharedSpec):
    """Score every criterion in one gradient pass."""

    step = "gradients"
    version = 3

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["GradientsSpec"]:
        told = planned.experiment.settings.gradients
        # The mean gradient is as large as the weights: jobs do not pass it on to each other.
        if told.mode not in ("gate", "stream") and any(CRITERIA[name].gradient == "mean" for name in told.criteria):
            common = dict(common) | {"shards": None}
        yield cls(**common, **dict(told))

    @property
    def slug(self) -> str:
        return self.slug_of("calibration")


class RemovalSpec(Removal, ScatteredSpec, SharedSpec):
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


class RankedSpec(Spec):
    """Base of the specs of steps that measure what many plans lose, before one of them is cut."""

    ridge: float | None = Field(
        None, description="Damping by which every plan is refitted, block by block; null: plain cuts are measured."
    )


class RefitTold(Section):
    """What the refit step is told, beside its text."""

    ridge: tuple[float, ...]
    dtype: Dtype

    @classmethod
    def of(cls, refit: Refit) -> "RefitTold | None":
        """Return it; None: nothing is refitted."""
        return cls(ridge=refit.ridge, dtype=refit.dtype) if refit.enabled else None


class SearchSpec(Deciding, RankedSpec, ExperimentSpec):
    """Find the settings that keep the model closest to the unpruned one on held-out text."""

    step = "search"
    trials: int
    seconds: int | None = None
    seed: int
    candidates: tuple[Patch, ...] = Field((), description="Those of the configuration, to begin with.")
    refit: RefitTold | None = Field(None, description="How the best plans are refitted in the end; null: not at all.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["SearchSpec"]:
        settings = planned.experiment.settings
        if settings.method.searched:
            told = settings.search.model_dump(exclude={"samples"})  # in the key of the text
            refit = settings.repair.refit
            told |= {"ridge": refit.middle, "refit": RefitTold.of(refit)}
            yield cls(**common, **told, **dict(Deciding.within(settings)), candidates=configured(settings))


class ImportanceSpec(Deciding, ExperimentSpec):
    """Score the groups and select what goes, by the settings told or, where they were searched, by those found."""

    step = "importance"
    version = 2

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ImportanceSpec"]:
        yield cls(**common, **dict(Deciding.within(planned.experiment.settings)))


STEPS = (
    Step(
        GradientsSpec,
        "importance.gradients:collect",
        GradientsFolder,
        part="importance.gradients:collect_part",
        needs=(CalibrationFolder.samples,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(4, 30),
        out_of_memory=SHORTER_WINDOWS,
    ),
    Step(
        RemovalSpec,
        "trial.prior:measure",
        RemovalFolder,
        part="trial.prior:measure_part",
        needs=(CalibrationFolder.samples,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(2, 65),
        out_of_memory=SHORTER_WINDOWS,
    ),
    Step(
        SearchSpec,
        "search.find:find_settings",
        Own,
        needs=(
            GradientsFolder.saliency,
            RemovalFolder.losses,
            SearchTextFolder.windows,
            SearchTextFolder.manifest,
            GramFolder.layers,
            GramFolder.samples,
        ),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(2, 100),
        out_of_memory=SHORTER_WINDOWS,
    ),
    Step(
        ImportanceSpec,
        "importance.decision:score_and_select",
        Own,
        needs=(
            Own.search,
            GradientsFolder.saliency,
            GradientsFolder.statistics,
            GradientsFolder.stability,
            RemovalFolder.losses,
        ),
        looks_at=(ModelFolder.facts,),
    ),
)
