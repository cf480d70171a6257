"""A row of the table of steps, and a task: a step together with what it is told."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from prunescope.artifacts.files import Entry, File, Folder
from prunescope.artifacts.folders import ExperimentFolder, SharedFolder
from prunescope.artifacts.record import StepRecord
from prunescope.packages import Package
from prunescope.steps.spec import ExperimentSpec, SharedSpec, Spec

LOGS = "logs"


@dataclass(frozen=True, eq=False)
class Step:
    """A step of the pipeline.

    Attributes:
        spec: what it is told; its name and version.
        run: the function that does it, as ``"module:function"`` in the package; it takes a `Job`.
        folder: where its files are; which of them are its own, the files say.
        needs: files that it reads and that make it run again when they change. Those of a step that an experiment does
            without are left out.
        looks_at: files that it reads and that do not make it run again (`ancient` in the rule).
        records: whether it leaves a `StepRecord`.
        figure: whether it draws one, which decides nothing: what it is told is no part of the experiment's identity,
            and what reads its record need not run again, unless it shows another experiment.
        timed: whether Snakemake measures its time: it works with the model.
        on_request: whether an experiment is complete without it.
        network: whether it may reach other machines: a hub, a package index, a tracking server.
        package: an optional package that it works with.
        out_of_memory: what a person can do when it runs out of memory.
    """

    spec: type[Spec]
    run: str
    folder: type[Folder]
    needs: tuple[File[Any], ...] = ()
    looks_at: tuple[File[Any], ...] = ()
    records: bool = True
    figure: bool = False
    timed: bool = False
    on_request: bool = False
    network: bool = False
    package: Package | None = None
    out_of_memory: str = "free the machine of other work, or take a larger one"

    @property
    def name(self) -> str:
        return self.spec.step

    @property
    def shared(self) -> bool:
        return issubclass(self.folder, SharedFolder)

    @property
    def own(self) -> bool:
        """Whether it is an experiment's own, and no export."""
        return not self.shared and not self.on_request

    @cached_property
    def files(self) -> tuple[File[Any], ...]:
        """The files that it always leaves."""
        own = [file for file in self.folder.files().values() if file.made_by == self.name and file.always]
        if self.records and self.folder is ExperimentFolder:
            own.append(ExperimentFolder.record)
        return tuple(own)

    @cached_property
    def upstream(self) -> frozenset[str]:
        """Names of the steps that make it run again when they run."""
        return frozenset(file.made_by for file in self.needs)

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the shared steps whose files it reads."""
        files = (*self.needs, *self.looks_at)
        return frozenset(file.owner.step for file in files if issubclass(file.owner, SharedFolder))


@dataclass(frozen=True)
class Task:
    """A step of one experiment, or one that experiments share.

    Attributes:
        folder: where its files are, relative to the project.
    """

    step: Step
    spec: Spec
    folder: str

    def __hash__(self) -> int:
        return hash((self.name, self.folder))

    @property
    def name(self) -> str:
        return self.spec.task

    @property
    def label(self) -> str:
        """The name, for people."""
        return "figures" if self.step.figure else self.name.replace("_", " ", 1)

    @property
    def key(self) -> str:
        """The key of a shared step, or of the record of an own one."""
        if isinstance(self.spec, SharedSpec):
            return self.spec.key
        return self.spec.record_key if isinstance(self.spec, ExperimentSpec) else ""

    def file(self, file: File[Any]) -> str:
        """Return the path of one of its files."""
        return f"{self.folder}/{file.path.format(**self.spec.wildcards)}"

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The paths of all its files."""
        return tuple(self.file(file) for file in self.step.files)

    @property
    def record(self) -> Entry[StepRecord] | None:
        """Its record, where it is a step of an experiment or a shared one and leaves one."""
        folder = self.step.folder(Path(self.folder))
        if not self.step.records:
            return None
        if isinstance(folder, ExperimentFolder):
            return folder.named(ExperimentFolder.record, step=self.name)
        return folder.record if isinstance(folder, SharedFolder) else None

    @property
    def log(self) -> Path:
        _, model, *rest = Path(self.folder).parts
        parts = (self.step.name, rest[-1]) if self.step.shared else (*rest, self.name)
        return Path(LOGS, model, *parts[:-1], f"{parts[-1]}.log")

    @property
    def done(self) -> bool:
        """Whether all its files are there."""
        return all(Path(file).exists() for file in self.outputs)
