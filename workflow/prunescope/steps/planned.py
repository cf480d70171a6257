"""An experiment or a sweep with its steps: which files make it complete."""

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

from prunescope.config.resolve import COMPARISON, Experiment
from prunescope.config.sections import GGUF_TYPES
from prunescope.steps.keys import RESULTS, Step, experiment_directory, experiment_specs, shared_steps
from prunescope.steps.references import before_after_spec
from prunescope.steps.specs import ComparisonSpec, ExperimentSpec

PLOTS = ("gradient_analysis", "pruning_rates", "importance_heatmap")
BEFORE_AFTER = "before_after"
FORMATS = ("png", "svg")
EVALUATION = ("perplexity.json", "windows.parquet", "card.json")
OPTIONAL = ("zeroshot", "efficiency")
"""Steps that run only when their section of `evaluation` is there; each writes ``evaluation/{step}.json``."""
RECOVERED = "recovered"
"""The folder of the fine-tuned checkpoint, and the step that evaluates it."""
ANALYSIS = (
    "importance_table.parquet",
    "plan.json",
    "pruning_summary.json",
    "pruning_summary.csv",
    "gradient_statistics.json",
    "stability.json",
    "gradient_diagnosis.json",
    "diagnosis.html",
)
EXPORTS = ("export/uniform", "export/gguf", *(f"export/gguf/{name}.gguf" for name in GGUF_TYPES))
"""What can be asked for below an experiment without being part of it; ``export/gguf``: the configured types."""

COMPARED = (
    "experiment.json",
    "analysis/importance_table.parquet",
    "analysis/pruning_summary.json",
    "analysis/gradient_statistics.json",
    "analysis/gradient_diagnosis.json",
    "evaluation/perplexity.json",
    "evaluation/windows.parquet",
)
"""What a comparison reads of each experiment."""
COMPARISON_FIGURES = ("perplexity", "pruning_rates", "kept_groups", "gradient_profiles")
COMPARISON_FILES = (
    "comparison.csv",
    "comparison.md",
    "comparison.html",
    "recommendation.json",
    *(f"{name}.{suffix}" for name in COMPARISON_FIGURES for suffix in FORMATS),
    "record.json",
)


def final_folder(steps: Container[str]) -> str:
    """Return the name of the folder of the final checkpoint of an experiment that has these steps of its own."""
    return RECOVERED if RECOVERED in steps else "model"


@dataclass(frozen=True)
class Planned:
    """An experiment with its steps, and the experiment that it is compared with, if there is one."""

    experiment: Experiment
    reference: Experiment | None = None

    @cached_property
    def shared(self) -> dict[str, Step]:
        return shared_steps(self.experiment)

    @cached_property
    def own(self) -> dict[str, ExperimentSpec]:
        specs = experiment_specs(self.experiment, self.shared)
        if self.reference is not None:
            specs[BEFORE_AFTER] = before_after_spec(self.experiment, self.reference)
        return specs

    @property
    def records(self) -> list[str]:
        """Return the records of the experiment's own steps, figures apart."""
        return [f"{self.directory}/records/{step}.json" for step in self.own if step not in ("page", BEFORE_AFTER)]

    @property
    def optional(self) -> list[str]:
        """Return the results of the optional steps that were asked for."""
        return [f"{self.directory}/evaluation/{step}.json" for step in (*OPTIONAL, RECOVERED) if step in self.own]

    @property
    def final(self) -> str:
        """Return the name of the folder of the final checkpoint: what is exported and used."""
        return final_folder(self.own)

    @property
    def checkpoint(self) -> str:
        """Return the path of the final checkpoint."""
        return f"{self.directory}/{self.final}"

    @property
    def measured_gguf(self) -> list[str]:
        """Return the exports that the efficiency step measures."""
        return [f"{self.directory}/export/gguf/{kind}.gguf" for kind in getattr(self.own.get("efficiency"), "gguf", ())]

    @property
    def directory(self) -> str:
        return experiment_directory(self.experiment.model, self.experiment.name)

    @property
    def plots(self) -> tuple[str, ...]:
        return PLOTS if self.reference is None else (*PLOTS, BEFORE_AFTER)

    def files(self) -> list[str]:
        """Return every file (and the model folder) that makes the experiment complete."""
        names = [f"analysis/{name}" for name in ANALYSIS]
        names += [f"visualization/{name}.{suffix}" for name in self.plots for suffix in FORMATS]
        names += [f"evaluation/{name}" for name in EVALUATION]
        names += ["model", "config.yaml", "README.md", "README.html"]
        names += [RECOVERED, f"evaluation/{RECOVERED}.parquet"] if RECOVERED in self.own else []
        names += ["mlflow.json"] if self.experiment.tracking.enabled else []
        return [f"{self.directory}/{name}" for name in names] + self.optional


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep on one model.

    Attributes:
        members: all experiments, in their order. planned: those that can be run.
        impossible: why the others cannot.
    """

    model: str
    name: str
    members: tuple[str, ...]
    planned: dict[str, Planned]
    impossible: dict[str, str]

    @property
    def directory(self) -> str:
        return f"{RESULTS}/{self.model}/{COMPARISON}/{self.name}"

    def spec(self, missing: dict[str, str] | None = None) -> ComparisonSpec:
        """Return what the comparison is told; `missing`: experiments that failed, and why."""
        return ComparisonSpec(
            model=self.model, sweep=self.name, experiments=self.members, missing=self.impossible | (missing or {})
        )

    def inputs(self) -> list[str]:
        """Return what the comparison reads."""
        files = [f"{planned.directory}/{name}" for planned in self.planned.values() for name in COMPARED]
        return files + [file for planned in self.planned.values() for file in planned.optional]

    @property
    def tracked(self) -> list[str]:
        """Return the ``mlflow.json`` of the experiments that MLflow shows."""
        tracked = [planned for planned in self.planned.values() if planned.experiment.tracking.enabled]
        return [f"{planned.directory}/mlflow.json" for planned in tracked]

    def files(self) -> list[str]:
        """Return every file that makes the sweep complete; of the impossible experiments one that cannot be made."""
        files = [file for planned in self.planned.values() for file in planned.files()]
        names = [*COMPARISON_FILES, *(["mlflow.json"] if self.tracked else [])]
        files += [f"{self.directory}/{name}" for name in names] if self.planned else []
        return files + [f"{self.directory}/{member}.impossible" for member in self.impossible]
