"""A row of the table of steps, and a task: a step together with what it is told."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from prunescope.artifacts.files import Entry, File, Folder
from prunescope.artifacts.folders import ExperimentFolder, SharedFolder
from prunescope.artifacts.parts import Part, Parts
from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError
from prunescope.packages import Package
from prunescope.shards import Shard
from prunescope.steps.spec import ExperimentSpec, ScatteredSpec, SharedSpec, Spec
from prunescope.steps.work import Work

LOGS = "logs"
SHARDS = "shards"
"""Tag in the record of a step: of how many parts it was added up."""


@dataclass(frozen=True, eq=False)
class Step:
    """A step of the pipeline.

    Attributes:
        spec: what it is told; its name and version.
        run: the function that does it, as ``"module:function"`` in the package; it takes a `Job`.
        part: the function that does a part of it, where several jobs can share its windows: of a `Job` and a `Shard`
            it makes a `Part`, which `run` adds up to the others.
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
        work: what it asks of a cluster; a step without it takes seconds, or needs a network, and runs where Snakemake
            does.
        out_of_memory: what a person can do when it runs out of memory.
    """

    spec: type[Spec]
    run: str
    folder: type[Folder]
    part: str = ""
    needs: tuple[File[Any], ...] = ()
    looks_at: tuple[File[Any], ...] = ()
    records: bool = True
    figure: bool = False
    timed: bool = False
    on_request: bool = False
    network: bool = False
    package: Package | None = None
    work: Work | None = None
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

    def part_file(self) -> File[Part] | None:
        """The file of a part; None where the step is one job."""
        own = (file for file in self.folder.files().values() if file.made_by == self.name)
        return next((file for file in own if isinstance(file.format, Parts)), None)

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

    def file(self, file: File[Any], **wildcards: str) -> str:
        """Return the path of one of its files."""
        return f"{self.folder}/{file.path.format(**self.spec.wildcards, **wildcards)}"

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The paths of all its files."""
        return tuple(self.file(file) for file in self.step.files)

    @cached_property
    def shards(self) -> int:
        """How many parts it is divided into.

        One that is done keeps the number that it was made with: Snakemake makes again what has other inputs.
        """
        if not isinstance(self.spec, ScatteredSpec):
            return 1
        try:
            if self.record and self.done:
                return int(self.record.read().tags.get(SHARDS, 1))
            return self.spec.shards or 1
        except (DataError, ValueError):  # what reads the record says so
            return 1

    @property
    def parts(self) -> tuple[str, ...]:
        """The paths of its parts; none where one job does it all."""
        file = self.step.part_file()
        if file is None or self.shards == 1:
            return ()
        return tuple(self.file(file, part=str(shard)) for shard in Shard.all(self.shards))

    def told(self, part: str = "") -> str:
        """Return what a job of it is told, as one line of JSON; `part`: the name of the shard that it measures."""
        if not isinstance(self.spec, ScatteredSpec):
            return self.spec.text()
        shard = Shard.named(part) if part else None
        shards = shard.of if shard else self.shards
        changes = {"shards": shards if shards > 1 else None, "part": shard.number if shard else None}
        return self.spec.model_copy(update=changes).text()

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
    def logs(self) -> tuple[Path, ...]:
        """The logs of all its jobs: of its parts, and of the one that adds them up or does it all."""
        log = self.log
        parts = Shard.all(self.shards) if self.shards > 1 else ()
        return (*(log.with_name(f"{log.stem}.{part}.log") for part in parts), log)

    @property
    def done(self) -> bool:
        """Whether all its files are there."""
        return all(Path(file).exists() for file in self.outputs)
