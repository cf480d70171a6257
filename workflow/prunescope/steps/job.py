"""A step under way: what it is told, and the folders that it reads and writes."""

import gc
import importlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from prunescope.artifacts.files import Entry, Folder
from prunescope.artifacts.folders import ExperimentFolder, SharedFolder
from prunescope.artifacts.parts import Part, added
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.messages import sentence
from prunescope.errors import ConfigError, DataError, did_you_mean
from prunescope.gpus import one_gpu
from prunescope.shards import WHOLE, Shard
from prunescope.steps.lease import leased
from prunescope.steps.spec import ScatteredSpec, Spec
from prunescope.steps.step import SHARDS, Step, Task
from prunescope.steps.table import TABLE

S = TypeVar("S", bound=Spec)
F = TypeVar("F", bound=Folder)
G = TypeVar("G", bound=SharedFolder)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job(Generic[S, F]):
    """A step with what it is told.

    Attributes:
        spec: what it is told, how its work is divided aside. folder: where its files are.
        inputs: folders of the shared steps that it reads, by step.
        shards: how many parts it is divided into.
    """

    spec: S
    folder: F
    inputs: Mapping[str, Path]
    shards: int = 1

    @classmethod
    def of(cls, step: Step, spec: S, path: Path) -> "Job[S, F]":
        """Return the job of a step in a folder; the shared steps that it reads are found from there."""
        model = path.parents[2] if step.shared else path.parent
        inputs = {name: model / "_shared" / name / key for name, key in spec.inputs.items()}
        shards = spec.shards or 1 if isinstance(spec, ScatteredSpec) else 1
        if shards > 1:
            spec = spec.model_copy(update={"shards": None, "part": None})
        return cls(spec, step.folder(path), inputs, shards)  # type: ignore[arg-type]

    def input(self, kind: type[G]) -> G:
        """Return the folder of a shared step that the step reads.

        Raises:
            ConfigError: the spec has no key of that step.
        """
        if kind.step not in self.inputs:
            raise ConfigError(
                f"the {self.spec.task} step reads the '{kind.step}' step, but its spec has no key of it in `inputs`"
            )
        return kind(self.inputs[kind.step])

    def reads(self, kind: type[SharedFolder]) -> bool:
        """Whether the experiment has this shared step."""
        return kind.step in self.inputs

    @contextmanager
    def recording(self, params: dict[str, Any] | None = None) -> Iterator[StepRecord]:
        """Time the block and write the step's record when it succeeds; `params`: settings that tracking shows."""
        if isinstance(self.folder, ExperimentFolder):
            entry, key = self.folder.named(ExperimentFolder.record, step=self.spec.task), self.spec.record_key  # type: ignore[attr-defined]
        else:
            entry, key = self.folder.record, self.folder.path.name  # type: ignore[attr-defined]
        with recording(self.spec.task, key, entry, params) as record:
            yield record
            if self.shards > 1:
                record.tags[SHARDS] = str(self.shards)

    def gathered(self, work: Callable[[Shard], Part]) -> Part:
        """Return what all windows give: the sum of the parts that other jobs left.

        Args:
            work: measures a part: all windows where one job does it all, and a part that is missing or damaged.

        Raises:
            DataError: the parts were not computed alike.
        """
        if self.shards == 1:
            return work(WHOLE)
        return added([self._left(shard) or work(shard) for shard in Shard.all(self.shards)])

    def leave(self, shard: Shard, part: Part) -> None:
        """Write a part, for the job that adds them up."""
        self.part(shard).write(replace(part, identity=self.spec.digest()))

    def forget_others(self) -> None:
        """Delete parts of another division, which a killed run left; those of this one are Snakemake's to delete."""
        file = TABLE[self.spec.step].part_file()
        own = {self.part(shard).path for shard in Shard.all(self.shards)} if self.shards > 1 else set()
        for left in self.folder.path.glob(file.path.format(part="*of*")) if file else ():
            if left not in own:
                left.unlink(missing_ok=True)

    def _left(self, shard: Shard) -> Part | None:
        """Return a part that another job left; None where it cannot be used."""
        entry = self.part(shard)
        try:
            part = entry.read()
            if part.identity == self.spec.digest():
                return part
            log.warning("%s is a part of something else: its windows are measured again", entry.path)
        except DataError as error:
            log.warning("%s; its windows are measured again", str(error).partition(";")[0])
        return None

    def part(self, shard: Shard) -> Entry[Part]:
        """Return the file of a part."""
        file = TABLE[self.spec.step].part_file()
        assert file is not None
        return self.folder.named(file, part=str(shard))


def run(name: str, path: Path, told: str) -> None:
    """Run a step in a folder.

    Args:
        told: its spec as one line of JSON, or the name of a file that holds it.

    Raises:
        ConfigError: there is no such step, or the spec is not one of it.
    """
    if name not in TABLE:
        raise ConfigError(f"unknown step '{name}'; {did_you_mean(name, TABLE)}")
    step = TABLE[name]
    spec = read_spec(step.spec, told)
    if step.package and spec.needs_package:
        step.package.require()
    task: Task = Task(step, spec, str(path))
    job: Job[Any, Any] = Job.of(step, spec, path)
    shard = spec.shard if isinstance(spec, ScatteredSpec) else None
    with leased(task, job.part(shard).path if shard else Path(task.outputs[0])) as work:
        if work:
            _work(step, job, shard)
        if step.shared and not shard:
            job.folder.key.write(json.loads(job.spec.text()))


def _work(step: Step, job: Job[Any, Any], shard: Shard | None) -> None:
    with one_gpu() if step.timed else nullcontext():
        if shard:
            job.leave(shard, function_of(step.part)(job, shard))
            return
        function_of(step.run)(job)
    job.forget_others()


def function_of(name: str) -> Callable[..., Any]:
    """Import what does a step's work: ``module:function`` of the package.

    A fifth of the time would go into looking for garbage, and there is none.
    """
    module, _, function = name.partition(":")
    gc.disable()
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(f"prunescope.{module}"), function)
    finally:
        gc.enable()
    return found


def read_spec(kind: type[S], told: str) -> S:
    """Read a spec from one line of JSON, or from the file that holds it.

    Raises:
        ConfigError: there is no such file, or it is not a spec of this kind.
    """
    try:
        text = told if told.lstrip().startswith("{") else Path(told).read_text(encoding="utf-8")
        return kind.model_validate_json(text)
    except OSError:
        raise ConfigError(f"--spec: no file {told:.100}; give one line of JSON, or the name of a file") from None
    except ValidationError as error:
        raise ConfigError(sentence(error, kind, "--spec")) from None
