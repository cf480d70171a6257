"""A step under way: what it is told, and the folders that it reads and writes."""

import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from prunescope.artifacts.files import Folder
from prunescope.artifacts.folders import ExperimentFolder, SharedFolder
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.messages import sentence
from prunescope.errors import ConfigError, did_you_mean
from prunescope.steps.lease import leased
from prunescope.steps.spec import Spec
from prunescope.steps.step import Step, Task
from prunescope.steps.table import TABLE

S = TypeVar("S", bound=Spec)
F = TypeVar("F", bound=Folder)
G = TypeVar("G", bound=SharedFolder)


@dataclass(frozen=True)
class Job(Generic[S, F]):
    """A step with what it is told.

    Attributes:
        spec: what it is told. folder: where its files are.
        inputs: folders of the shared steps that it reads, by step.
    """

    spec: S
    folder: F
    inputs: Mapping[str, Path]

    @classmethod
    def of(cls, step: Step, spec: S, path: Path) -> "Job[S, F]":
        """Return the job of a step in a folder; the shared steps that it reads are found from there."""
        model = path.parents[2] if step.shared else path.parent
        inputs = {name: model / "_shared" / name / key for name, key in spec.inputs.items()}
        return cls(spec, step.folder(path), inputs)  # type: ignore[arg-type]

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
    module, _, function = step.run.partition(":")
    with leased(Task(step, spec, str(path))) as work:
        if work:
            getattr(importlib.import_module(f"prunescope.{module}"), function)(Job.of(step, spec, path))
        if step.shared:
            step.folder(path).key.write(json.loads(spec.text()))  # type: ignore[attr-defined]


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
