"""The experiment's page and its row in MLflow; the comparison of a sweep."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.files import File
from prunescope.artifacts.folders import (
    CalibrationFolder,
    ComparisonFolder,
    EvaluationTextFolder,
    ModelFolder,
    RecoveryTextFolder,
    RefitTextFolder,
    SharedFolder,
)
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.formats import Json
from prunescope.artifacts.measured import Measured
from prunescope.config.sections import Recovery, Repair, Search, Settings
from prunescope.files import canonical
from prunescope.steps.spec import ExperimentSpec, Planning, Spec
from prunescope.steps.step import Step

MEASURED: tuple[File[Measured], ...] = tuple(
    file for file in Own.files().values() if isinstance(file.format, Json) and file.format.kind is Measured
)
"""What the optional steps measured: page, comparison and tracking show each of these files."""


class PageSpec(ExperimentSpec):
    """Write the experiment's page, its resolved configuration and what tracking needs."""

    step = "page"
    version = 5
    key: str = Field(description="Identity of the experiment and its settings.")
    steps: dict[str, str] = Field(description="The experiment's own steps that leave a record, each with its key.")
    shared: dict[str, str] = Field(description="The key of each shared step.")
    dataset: str
    settings: Settings
    parent_license: str | None = None
    data_license: str | None = None

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["PageSpec"]:
        experiment = planned.experiment
        settings = experiment.settings
        # The settings of what is off decide nothing.
        if not settings.recovery.enabled:
            settings = settings.model_copy(update={"recovery": Recovery()})
        if not settings.repair.enabled:
            settings = settings.model_copy(update={"repair": Repair()})
        if not settings.method.searched:
            settings = settings.model_copy(update={"search": Search()})
        decisive = canonical({task.name: task.spec.digest() for task in planned.recorded})
        digest = hashlib.sha256(decisive.encode()).hexdigest()[:8]
        yield cls(
            **common,
            key=f"{experiment.model}/{experiment.name}-{digest}",
            steps={task.name: task.key for task in planned.recorded},
            shared={task.name: task.key for task in planned.made.values() if task.step.shared},
            dataset=experiment.dataset,
            settings=settings,
            parent_license=experiment.source.license,
            data_license=experiment.texts[experiment.dataset].license,
        )


class TrackSpec(ExperimentSpec):
    """Bring MLflow level with the records of an experiment."""

    step = "track"
    uri: str = Field(description="The store, without credentials.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["TrackSpec"]:
        if planned.experiment.tracking.enabled:
            yield cls(**common, uri=planned.run.tracking_uri)


class ComparisonSpec(Spec):
    """Compare the experiments of a sweep: table, page and figures."""

    step = "comparison"
    version = 3
    model: str
    sweep: str
    experiments: tuple[str, ...]
    missing: dict[str, str] = Field({}, description="Those that are not there, and why.")
    partial: bool = Field(False, description="Compare what a failed run left; the next run compares again.")


class TrackComparisonSpec(Spec):
    """Bring MLflow level with the comparison of a sweep."""

    step = "track_comparison"
    uri: str = Field(description="The store, without credentials.")


STEPS = (
    Step(
        PageSpec,
        "reporting.page:write_page",
        Own,
        needs=(
            Own.search,
            Own.summary,
            Own.trials,
            Own.diagnosis,
            Own.refit,
            Own.scales,
            Own.perplexity,
            Own.words,
            Own.recovered_perplexity,
            Own.recovered_words,
            *MEASURED,
            CalibrationFolder.manifest,
            EvaluationTextFolder.manifest,
            Own.record,
        ),
        looks_at=(
            ModelFolder.facts,
            RefitTextFolder.manifest,
            RecoveryTextFolder.manifest,
            Own.plan,
            *(kind.record for kind in SharedFolder.__subclasses__()),
        ),
        records=False,
    ),
    Step(
        TrackSpec, "tracking.track:track", Own, needs=(Own.identity, Own.page, Own.record), records=False, network=True
    ),
    Step(
        ComparisonSpec,
        "reporting.comparison.report:compare",
        ComparisonFolder,
        needs=(
            Own.identity,
            Own.table,
            Own.summary,
            Own.statistics,
            Own.diagnosis,
            Own.perplexity,
            Own.windows,
            Own.recovered_perplexity,
            *MEASURED,
            Own.card,
        ),
    ),
    Step(
        TrackComparisonSpec,
        "tracking.track:track",
        ComparisonFolder,
        needs=(Own.tracked, ComparisonFolder.record),
        records=False,
        network=True,
    ),
)
