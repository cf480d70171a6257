"""An experiment or a sweep with its tasks: what each is told, which files it reads and leaves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prunescope.artifacts.files import File
from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.steps.reporting import ComparisonSpec, TrackComparisonSpec
from prunescope.steps.spec import ExperimentSpec, Planning, Run, ScatteredSpec, Spec
from prunescope.steps.step import Step, Task
from prunescope.steps.table import TABLE

GGUF = "export/gguf"
"""A target: the GGUF files of the configured types."""


@dataclass(frozen=True)
class Planned(Planning):
    """An experiment with its tasks."""

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """All tasks by name, in the order of the table; exports too, which run on request."""
        for step in TABLE.values():
            for spec in self._specs(step):
                task = Task(step, spec, self._folder(step, spec))
                self.made[task.name] = task
        return self.made

    def _specs(self, step: Step) -> Iterator[Spec]:
        common: dict[str, Any] = {"inputs": {name: self.made[name].key for name in step.inputs if name in self.made}}
        if issubclass(step.spec, ScatteredSpec) and self.run.shards > 1:
            common["shards"] = self.run.shards
        if issubclass(step.spec, ExperimentSpec):
            common |= {"model": self.experiment.model, "experiment": self.experiment.name}
        elif not step.shared:
            return
        yield from step.spec.of(self, common)

    def _folder(self, step: Step, spec: Spec) -> str:
        wildcards = {"model": self.experiment.model, "experiment": self.experiment.name}
        return step.folder.pattern.format(**wildcards, key=getattr(spec, "key", ""))

    @property
    def directory(self) -> str:
        return ExperimentFolder.pattern.format(model=self.experiment.model, experiment=self.experiment.name)

    @property
    def shared(self) -> list[Task]:
        """The tasks that experiments share."""
        return [task for task in self.tasks.values() if task.step.shared]

    @property
    def own(self) -> list[Task]:
        """The experiment's own tasks, exports apart."""
        return [task for task in self.tasks.values() if task.step.own]

    def files(self) -> list[str]:
        """Return every file (and the model folder) that makes the experiment complete."""
        return [file for task in self.own for file in task.outputs]

    def file(self, file: File[Any]) -> str | None:
        """Return the path of a file of the experiment or of a step it shares; None where it does without the step."""
        return next((task.file(file) for task in self.tasks.values() if task.step.name == file.made_by), None)

    def needs(self, task: Task) -> list[str]:
        """Return the files that a task reads and that make it run again."""
        return [*self._resolved(task, task.step.needs, decide=True), *task.parts, *task.spec.elsewhere]

    def looks_at(self, task: Task) -> list[str]:
        """Return the files that a task reads and that do not make it run again."""
        return [*self._resolved(task, task.step.looks_at), *task.spec.resources] + (
            self._records(decide=False) if ExperimentFolder.record in task.step.needs else []
        )

    def _resolved(self, task: Task, files: tuple[File[Any], ...], decide: bool = True) -> list[str]:
        found: list[str] = []
        for file in files:
            if file is ExperimentFolder.record:
                found += self._records(decide)
            elif file is ExperimentFolder.gguf:
                kinds = getattr(task.spec, "gguf", ())
                found += [self.tasks[f"gguf_{kind}"].file(file) for kind in kinds]
            else:
                found += [path for path in [self.file(file)] if path]
        return found

    def _records(self, decide: bool) -> list[str]:
        # A figure that is drawn again is the same figure, unless it shows another experiment too.
        tasks = (task for task in self.own if task.step.records)
        found = [task for task in tasks if decide is not (task.step.figure and not task.spec.elsewhere)]
        return [task.file(ExperimentFolder.record) for task in found]

    @cached_property
    def upstream(self) -> dict[str, list[Task]]:
        """By name: the tasks that make a task run again when they run."""
        makes = {file: task for task in self.tasks.values() for file in task.outputs}
        return {
            name: list({makes[file].name: makes[file] for file in self.needs(task) if file in makes}.values())
            for name, task in self.tasks.items()
        }

    def done(self, task: Task) -> bool:
        """Whether a task and all that would make it run again are done."""
        return task not in self._undone([task])

    def missing(self) -> list[Task]:
        """Return the tasks, exports apart, that are not done or rest on one that is not."""
        wanted = [*self.shared, *self.own]
        undone = self._undone(wanted)
        return [task for task in wanted if task in undone]

    def _undone(self, wanted: list[Task]) -> set[Task]:
        known: dict[Task, bool] = {}

        def undone(task: Task) -> bool:
            if task not in known:
                known[task] = not task.done or any(undone(other) for other in self.upstream[task.name])
            return known[task]

        return {task for task in wanted if undone(task)}

    def exports(self, file: str) -> list[Task]:
        """Return the exports that a file or folder below the experiment stands for; none for any other."""
        if file == GGUF:
            return [self.tasks[f"gguf_{kind}"] for kind in self.experiment.export.gguf.types]
        path = f"{self.directory}/{file}"
        return [task for task in self.tasks.values() if task.step.on_request and path in task.outputs]


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
    run: Run = field(default_factory=Run)

    @property
    def directory(self) -> str:
        return ComparisonFolder.pattern.format(model=self.model, sweep=self.name)

    @property
    def tasks(self) -> dict[str, Task]:
        """Comparison and tracking, by name."""
        track = TrackComparisonSpec(uri=self.run.tracking_uri)
        return {spec.step: Task(TABLE[spec.step], spec, self.directory) for spec in (self.spec(), track)}

    @property
    def page(self) -> str:
        """The path of the comparison's page."""
        return self.tasks["comparison"].file(ComparisonFolder.page)

    def spec(self, missing: dict[str, str] | None = None, partial: bool = False) -> ComparisonSpec:
        """Return what the comparison is told; `missing`: experiments that failed, and why."""
        return ComparisonSpec(
            model=self.model,
            sweep=self.name,
            experiments=self.members,
            missing=self.impossible | (missing or {}),
            partial=partial,
        )

    def needs(self, task: Task) -> list[str]:
        """Return what the comparison, or its tracking, reads."""
        own = [task.file(file) for file in task.step.needs if file.owner is ComparisonFolder]
        return own + self.experiment_files(task.name)

    def experiment_files(self, task: str) -> list[str]:
        """Return what the comparison, or its tracking, reads of the experiments."""
        needed = TABLE[task].needs
        found = [
            planned.file(file) for planned in self.planned.values() for file in needed if file.owner is ExperimentFolder
        ]
        return [path for path in found if path]

    def files(self) -> list[str]:
        """Return every file that makes the sweep complete; of the impossible experiments one that cannot be made."""
        files = [file for planned in self.planned.values() for file in planned.files()]
        if self.planned:
            files += self.tasks["comparison"].outputs
            tracked = any(planned.experiment.tracking.enabled for planned in self.planned.values())
            files += self.tasks["track_comparison"].outputs if tracked else ()
        return files + [f"{self.directory}/{member}.impossible" for member in self.impossible]
