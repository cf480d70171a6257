"""The diagnosis and its figures: before any weight is cut."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.identity import Identity
from prunescope.config import patches
from prunescope.config.candidates import DECIDES, Deciding
from prunescope.config.leakage import Leakage
from prunescope.config.resolve import Experiment
from prunescope.config.sections import Calibration, Diagnosis, Gradients, Removal, Report, Settings
from prunescope.steps.spec import START, ExperimentSpec, Planning
from prunescope.steps.step import Step
from prunescope.steps.texts import leakage, texts_of

DECISIVE = {"calibration", "gradients", "removal", *DECIDES}
"""The sections that decide what is removed."""

FIGURES = ("gradient_analysis", "pruning_rates", "importance_heatmap", "trials", "search")


class DiagnosisSpec(Deciding, ExperimentSpec):
    """Explain the selection. Beside the thresholds: what is in force and need not be advised."""

    step = "diagnosis"
    version = 2
    # Typed again, a configuration file may be spelled in another way.
    aside = frozenset({"start"})
    start: str = Field(START, description="What the commands of the report begin with.")
    diagnosis: Diagnosis
    report: Report
    calibration: Calibration
    gradients: Gradients
    removal: Removal = Field(Removal(), description="What measuring the prior would take.")
    calibration_texts: tuple[str, ...] = ()
    evaluation_texts: tuple[str, ...] = ()
    leakage: dict[str, Leakage] = Field({}, description="Of each evaluated text.")
    trials: bool = Field(False, description="Whether other settings were tried.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["DiagnosisSpec"]:
        experiment = planned.experiment
        settings = experiment.settings
        sections = ("calibration", "gradients", "removal", *DECIDES)
        yield cls(
            **common,
            start=planned.run.start,
            # What it is compared with changes no finding, nor does what follows from one.
            diagnosis=settings.diagnosis.model_copy(update={"on_critical": Diagnosis().on_critical}),
            report=settings.report.model_copy(update={"reference": None}),
            **{name: getattr(settings, name) for name in sections},
            calibration_texts=texts_of(experiment, experiment.dataset),
            evaluation_texts=settings.evaluation.datasets,
            leakage=leakage(experiment),
            trials=settings.trial.enabled,
        )


class PlotSpec(ExperimentSpec):
    """Draw a figure."""

    step = "plot"
    plot: str

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["PlotSpec"]:
        yield from (cls(**common, plot=name) for name in figures(planned.experiment.settings))

    @property
    def task(self) -> str:
        return f"plot_{self.plot}"


class BeforeAfterSpec(ExperimentSpec):
    """Draw the rates of an experiment beside those of its reference."""

    step = "before_after"
    version = 2
    reference: str
    changes: dict[str, tuple[str, str]] = Field({}, description="Settings that differ: value of either, as YAML.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["BeforeAfterSpec"]:
        if planned.reference is not None:
            changes = differences(planned.reference, planned.experiment)
            yield cls(**common, reference=planned.reference.name, changes=changes)

    @property
    def elsewhere(self) -> list[str]:
        files = (Own.summary, Own.perplexity)
        return [file.pattern.format(model=self.model, experiment=self.reference) for file in files]


def figures(settings: Settings, searched: bool | None = None) -> tuple[str, ...]:
    """Return the figures that an experiment has, but for the one beside its reference.

    Args:
        searched: whether its settings were found, where they have been filled in.
    """
    there = {"trials": settings.trial.enabled, "search": settings.method.searched if searched is None else searched}
    return tuple(name for name in FIGURES if there.get(name, True))


def differences(before: Experiment | Identity, after: Experiment | Identity) -> dict[str, tuple[str, str]]:
    """Return the settings that decide what is removed and differ: config path -> both values, as YAML."""
    old, new = (
        {"dataset": one.dataset} | one.settings.model_dump(mode="json", include=DECISIVE) for one in (before, after)
    )
    return {path: (_flow(one), _flow(other)) for path, one, other in patches.differences(old, new)}


def _flow(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


STEPS = (
    Step(
        DiagnosisSpec,
        "diagnosis.report:diagnose_experiment",
        Own,
        needs=(Own.search, Own.table, Own.summary, Own.statistics, Own.stability, Own.trials),
    ),
    Step(
        PlotSpec,
        "reporting.figures:plot",
        Own,
        needs=(Own.search, Own.searched, Own.table, Own.summary, Own.statistics, Own.trials, Own.diagnosis),
        figure=True,
    ),
    Step(
        BeforeAfterSpec,
        "reporting.figures:plot_before_after",
        Own,
        needs=(Own.summary, Own.diagnosis, Own.perplexity),
        figure=True,
    ),
)
