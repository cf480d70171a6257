"""What a step is told: one frozen class per step, passed to it as one line of JSON."""

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from prunescope.config.resolve import Experiment
from prunescope.config.sections import Section
from prunescope.files import canonical
from prunescope.shards import Shard

if TYPE_CHECKING:
    from typing import Self

    from prunescope.steps.step import Task


START = "snakemake --cores all"
"""How the commands that a report recommends begin."""
PROFILE_OPTIONS = ("--workflow-profile", "--profile")
JOBS_OPTIONS = ("--cores", "-c", "--jobs", "-j")


def start(configfiles: Iterable[Path], arguments: Sequence[str] = ()) -> str:
    """Return how the commands of a run begin: as it began itself, with its profile and its configuration files, if any.

    Args:
        configfiles: paths are given as seen from here. arguments: of the command line.
    """
    here = Path.cwd()
    files = [str(file.relative_to(here) if file.is_relative_to(here) else file) for file in configfiles]
    words = [word for argument in arguments for word in argument.split("=", 1)]
    kept = [pair for pair in pairwise(words) if pair[0] in (*PROFILE_OPTIONS, *JOBS_OPTIONS)]
    # Without a profile, which may say how many jobs run, the machine is the reader's.
    profiled = any(option in PROFILE_OPTIONS for option, _ in kept)
    begin = ["snakemake", *chain(*kept)] if profiled else START.split()
    # A list of files ends where `--` says so.
    return shlex.join([*begin, "--configfile", *files, "--"] if files else begin)


@dataclass(frozen=True)
class Run:
    """What a run decides for all experiments: how its commands begin, where they are tracked, how work is divided."""

    start: str = START
    tracking_uri: str = ""
    shards: int = 1


@dataclass(frozen=True)
class Planning:
    """An experiment while its steps are planned, one after the other.

    Attributes:
        reference: the experiment that it is compared with, if there is one. made: the tasks so far, by name.
    """

    experiment: Experiment
    reference: Experiment | None = None
    run: Run = field(default_factory=Run)
    made: dict[str, "Task"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def recorded(self) -> "list[Task]":
        """The own tasks so far that leave a record and are part of the experiment's identity."""
        return [task for task in self.made.values() if task.step.own and task.step.records and not task.step.figure]


class Spec(Section):
    """Exactly what a step's result depends on.

    Attributes:
        step: name of the step, its rule, its folder and its record. version: raised by hand when the numbers of the
            step change, or the default of a setting does; a better comment must not cost a GPU hour.
        aside: fields that the step is told and that do not decide its result, such as the path of a local copy.
        inputs: shared steps that it reads -> their keys.
    """

    step: ClassVar[str]
    version: ClassVar[int] = 1
    aside: ClassVar[frozenset[str]] = frozenset()

    inputs: dict[str, str] = {}

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["Self"]:
        """Yield what the step is told in an experiment: nothing where the experiment does without it.

        Args:
            planned: the experiment, with the tasks of the steps above this one in the table.
            common: the fields that all specs of its kind have.
        """
        raise NotImplementedError

    @property
    def task(self) -> str:
        """Name of the task: the step's, and what tells several tasks of one step apart."""
        return self.step

    @property
    def wildcards(self) -> dict[str, str]:
        """What the wildcards in the names of its files stand for, beside ``{step}``: its task."""
        return {name: value for name, value in self if isinstance(value, str)} | {"step": self.task}

    @property
    def resources(self) -> list[str]:
        """Downloaded files that the step reads."""
        return []

    @property
    def elsewhere(self) -> list[str]:
        """Files of another experiment that the step reads."""
        return []

    @property
    def needs_package(self) -> bool:
        """Whether, as it is told, the step works with its optional package."""
        return True

    def text(self) -> str:
        """Return the spec as one line of JSON, keys sorted."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

    def identity(self) -> dict[str, Any]:
        """Return what decides the result. Settings at their default are left out, so that a new one changes no key."""
        return self.model_dump(mode="json", exclude=set(self.aside), exclude_defaults=True)

    def decides(self) -> str:
        """Return what runs the step again where it changes, as text, if its files carry no key."""
        raised = {"version": self.version} if self.version > 1 else {}
        return canonical(self.identity() | raised)

    def digest(self) -> str:
        """Return eight hex digits that identify the step, its version and what decides its result."""
        return hashlib.sha256(f"{self.step}:{self.version}:{canonical(self.identity())}".encode()).hexdigest()[:8]


class ScatteredSpec(Spec):
    """Base of the specs of steps whose windows several jobs can share. How many do decides no result."""

    aside = frozenset({"shards", "part"})
    shards: int | None = Field(None, ge=2, description="How many jobs measure a part each; null: one does it all.")
    part: int | None = Field(None, ge=0, description="Which part to measure, counted from 0; null: add all of them up.")

    @model_validator(mode="after")
    def _one_of_them(self) -> "Self":
        if self.part is not None and self.part >= (self.shards or 0):
            raise ValueError(f"part {self.part} is none of {self.shards or 0} shards, which are counted from 0")
        return self

    @property
    def shard(self) -> Shard | None:
        """Which part to measure; None: all of it."""
        return None if self.part is None else Shard(self.part, self.shards or 1)


class SharedSpec(Spec):
    """Base of the specs of steps that experiments share. The key of one is its slug and its digest."""

    @property
    def slug(self) -> str:
        """The readable part of the key."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        return f"{self.slug}-{self.digest()}"

    def slug_of(self, step: str) -> str:
        """Return the readable part of the key of a step before this one."""
        return self.inputs[step].rpartition("-")[0]


class ExperimentSpec(Spec):
    """Base of the specs of an experiment's own steps."""

    model: str = Field(description="Name of the model.")
    experiment: str = Field(description="Name of the experiment.")

    @property
    def record_key(self) -> str:
        """The key of the step's record, from which tracking sees what the step was told."""
        return f"{self.experiment}-{self.digest()}"
