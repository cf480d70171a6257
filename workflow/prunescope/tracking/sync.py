"""Records into MLflow, which is a view that `results/` can rebuild at any time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Run

from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder, SharedFolder
from prunescope.errors import PrunescopeError
from prunescope.tracking import view
from prunescope.tracking.connection import connected
from prunescope.tracking.gather import RecordError, gather, gather_shared, gather_unpruned, open_folder
from prunescope.tracking.links import KEY
from prunescope.tracking.rows import NAME, Change, Rows
from prunescope.tracking.tracked import TrackedRun

PERPLEXITIES, BEST_OF = "prunescope.perplexities", "prunescope.best_of"
SUPERSEDED = "prunescope.superseded_by"

T = TypeVar("T")


@dataclass(frozen=True)
class SyncResult:
    """Where an experiment or a comparison is in MLflow, and whether this synchronisation changed it."""

    folder: ExperimentFolder | ComparisonFolder
    key: str
    run_id: str
    experiment_id: str
    change: Change


def sync(directories: Sequence[Path], uri: str) -> list[SyncResult | PrunescopeError]:
    """Write experiments with the shared steps that they use, and comparisons of sweeps, into their rows.

    Args:
        directories: ``results/{model}/{experiment}`` or ``results/{model}/comparison/{sweep}``; comparisons after the
            experiments that they compare.
        uri: MLflow address, as configured; a sqlite file is relative to the working directory.

    Returns:
        For each directory where it is, or why it was left out: RecordError where it has not finished or is being run
        again, DataError where a file is damaged.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """
    folders = [open_folder(directory) for directory in directories]
    gathered = [_tried(partial(gather, directory)) for directory in directories]
    if all(isinstance(one, PrunescopeError) for one in gathered):
        return [one for one in gathered if isinstance(one, PrunescopeError)]
    with connected(uri) as client:
        put = _Target(Rows(client)).put
        found = zip(folders, gathered, strict=True)
        return [one if isinstance(one, PrunescopeError) else _tried(partial(put, folder, one)) for folder, one in found]


def _tried(work: Callable[[], T]) -> T | PrunescopeError:
    try:
        return work()
    except PrunescopeError as error:
        return error


class _Target:
    """A row with all that hangs on it, in one connected store."""

    def __init__(self, rows: Rows):
        self.rows, self.client = rows, rows.client
        self.put_shared = cache(self._put_shared)

    def put(self, folder: ExperimentFolder | ComparisonFolder, tracked: TrackedRun) -> SyncResult:
        """Write an experiment or a comparison with all that hangs on it.

        Raises:
            RecordError: it is being run again.
        """
        try:
            if isinstance(folder, ComparisonFolder):
                run, change = self._put_comparison(tracked)
            else:
                run, change = self._put_experiment(folder, tracked)
        except FileNotFoundError as error:
            # Before a step runs again, Snakemake removes what it is going to write.
            if error.filename and Path(error.filename).is_relative_to(folder.path.parent):
                raise RecordError(f"{folder.path} is being run again: {error.filename} has just gone") from error
            raise
        return SyncResult(folder, tracked.key, run.info.run_id, run.info.experiment_id, change)

    def _put_experiment(self, folder: ExperimentFolder, tracked: TrackedRun) -> tuple[Run, Change]:
        """Write one experiment, the shared steps it uses and the links between them."""
        keys = tracked.shared
        used = {step: self.put_shared(folder.shared(step, key)) for step, key in keys.items()}
        run, change = self.rows.put(tracked.model, tracked)
        for step, shared in used.items():
            self.rows.tag(run, f"prunescope.shared.{step}", shared.info.run_id if shared else keys[step])
            if shared:
                self.rows.tag(shared, f"prunescope.used_by.{tracked.name}", run.info.run_id)
        self._put_unpruned(folder)
        self._supersede_others(run, tracked)
        self._show(tracked)
        return run, change

    def _put_unpruned(self, folder: ExperimentFolder) -> None:
        """Write the unpruned model beside the experiments of it, so that the table says what they began with."""
        if unpruned := gather_unpruned(folder):
            self.rows.put(unpruned.model, unpruned)

    def _put_shared(self, folder: SharedFolder) -> Run | None:
        tracked = gather_shared(folder)
        return self.rows.put(f"{tracked.model}/_shared", tracked)[0] if tracked else None

    def _put_comparison(self, tracked: TrackedRun) -> tuple[Run, Change]:
        """Write the comparison of a sweep, and tag the runs that it recommends, and no others, as its best."""
        tag, table = f"{BEST_OF}.{tracked.name}", self.rows.experiment(tracked.model).experiment_id
        for former in self.client.search_runs([table], f"tags.`{tag}` LIKE '%'"):
            if former.data.tags[KEY] not in tracked.best:
                self.client.delete_tag(former.info.run_id, tag)
        for key, why in tracked.best.items():
            if run := self.rows.find(table, key):
                self.rows.tag(run, tag, why)
        return self.rows.put(f"{tracked.model}/_comparisons", tracked)

    def _supersede_others(self, run: Run, tracked: TrackedRun) -> None:
        """Tag the runs of the same name and another key."""
        if SUPERSEDED in run.data.tags:
            self.client.delete_tag(run.info.run_id, SUPERSEDED)
        same_name = f"tags.`{NAME}` = '{tracked.name}'"
        for other in self.client.search_runs([run.info.experiment_id], same_name):
            if other.data.tags[KEY] != tracked.key:
                self.rows.tag(other, SUPERSEDED, tracked.key)

    def _show(self, tracked: TrackedRun) -> None:
        """Keep the view of the model's experiments, which shows every perplexity that one of them was measured by."""
        experiment = self.rows.experiment(tracked.model)
        known = experiment.tags.get(PERPLEXITIES, "").split()
        measured = {name for name in tracked.metrics if name.startswith(view.PERPLEXITY)}
        names = sorted({*known, *measured} - {view.GEOMEAN})
        for tag, value in {PERPLEXITIES: " ".join(names), view.TAG: view.content(names)}.items():
            if experiment.tags.get(tag) != value:
                self.client.set_experiment_tag(experiment.experiment_id, tag, value)
                experiment.tags[tag] = value
