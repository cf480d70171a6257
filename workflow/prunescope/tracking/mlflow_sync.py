"""Records into MLflow, which is a view that `results/` can rebuild at any time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunTag
from mlflow.utils.validation import (
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)

from prunescope.tracking import view
from prunescope.tracking.connection import connected
from prunescope.tracking.gather import ExperimentRun, TrackedRun, gather_shared, shared_directory
from prunescope.tracking.gather_comparison import ComparisonRun, gather
from prunescope.tracking.logged_models import KEY, put_parent, put_pruned

NAME, DIGEST = "prunescope.name", "prunescope.digest"
PERPLEXITIES, BEST_OF = "prunescope.perplexities", "prunescope.best_of"
SUPERSEDED = "prunescope.superseded_by"
Change = Literal["new", "updated", "unchanged"]
Points = dict[tuple[str, int], float]


@dataclass(frozen=True)
class SyncResult:
    """Where an experiment is in MLflow, and whether this synchronisation changed it."""

    directory: Path
    key: str
    run_id: str
    experiment_id: str
    change: Change


def sync(directories: Iterable[Path], uri: str) -> list[SyncResult]:
    """Upsert the experiments in the given folders with the shared steps they use, and comparisons of sweeps.

    An unchanged one costs a look-up and adds nothing.

    Args:
        directories: ``results/{model}/{experiment}`` or ``results/{model}/comparison/{sweep}``; comparisons after the
            experiments that they compare.
        uri: MLflow address, as configured; a sqlite file is relative to the working directory.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
        RecordError: an experiment or comparison has not finished or has a broken record.
    """
    gathered = [(directory.absolute(), gather(directory)) for directory in directories]
    with connected(uri) as client:
        target = _Target(client)
        return [target.put(directory, run) for directory, run in gathered]


class _Target:
    """The upsert operations on one connected store."""

    def __init__(self, client: MlflowClient):
        self.client = client
        self.experiment = cache(self._experiment)
        self.put_shared = cache(self._put_shared)

    def put(self, directory: Path, tracked: ExperimentRun | ComparisonRun) -> SyncResult:
        """Upsert an experiment or a comparison with all that hangs on it."""
        put = self._put_comparison if isinstance(tracked, ComparisonRun) else self._put_experiment
        run, change = put(directory, tracked)
        return SyncResult(directory, tracked.key, run.info.run_id, run.info.experiment_id, change)

    def _put_experiment(self, directory: Path, tracked: ExperimentRun) -> tuple[Run, Change]:
        """Upsert one experiment, the shared steps it uses and the links between them."""
        steps = {step: shared_directory(directory, step, key) for step, key in tracked.shared.items()}
        shared = {step: self.put_shared(path) for step, path in steps.items()}
        run, change = self._upsert(tracked.model, tracked)
        run_id = run.info.run_id
        links = {step: used.info.run_id if used else tracked.shared[step] for step, used in shared.items()}
        self._tag(run, {f"prunescope.shared.{step}": link for step, link in links.items()})
        for used in filter(None, shared.values()):
            self._tag(used, {f"prunescope.used_by.{tracked.name}": run_id})
        self._supersede_others(run, tracked)
        self._show(tracked)
        return run, change

    def _put_comparison(self, _: Path, tracked: ComparisonRun) -> tuple[Run, Change]:
        """Upsert the comparison of a sweep and tag the runs it recommends, and no others, as its best."""
        tag, experiment = f"{BEST_OF}.{tracked.name}", self.experiment(tracked.model)
        for former in self.client.search_runs([experiment.experiment_id], f"tags.`{tag}` LIKE '%'"):
            if former.data.tags[KEY] not in tracked.best:
                self.client.delete_tag(former.info.run_id, tag)
        for key, why in tracked.best.items():
            if run := self._find(experiment.experiment_id, key):
                self._tag(run, {tag: why})
        return self._upsert(f"{tracked.model}/_comparisons", tracked)

    def _put_shared(self, directory: Path) -> Run | None:
        tracked = gather_shared(directory)
        return self._upsert(f"{tracked.model}/_shared", tracked)[0] if tracked else None

    def _show(self, tracked: ExperimentRun) -> None:
        """Keep the view of the model's experiments, which shows every perplexity that one of them was measured by."""
        experiment = self.experiment(tracked.model)
        known = experiment.tags.get(PERPLEXITIES, "").split()
        names = sorted({*known, *(name for name in tracked.metrics if name.startswith(view.PERPLEXITY))})
        for tag, value in {PERPLEXITIES: " ".join(names), view.TAG: view.content(names)}.items():
            if experiment.tags.get(tag) != value:
                self.client.set_experiment_tag(experiment.experiment_id, tag, value)
                experiment.tags[tag] = value

    def _experiment(self, name: str) -> Experiment:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # Without the kind, the UI opens on the pages for language-model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.get_experiment(self.client.create_experiment(name, tags=kind))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found

    def _upsert(self, experiment: str, tracked: TrackedRun) -> tuple[Run, Change]:
        experiment_id, digest = self.experiment(experiment).experiment_id, tracked.digest()
        run = self._find(experiment_id, tracked.key)
        if run and run.data.tags.get(DIGEST) == digest and self._has_artifacts(run, tracked):
            return run, "unchanged"
        logged = self._logged(run, tracked) if run else {}
        if run and _contradicts(run, logged, tracked):
            self.client.delete_run(run.info.run_id)
            run, logged = None, {}
        change: Change = "updated" if run else "new"
        run = run or self.client.create_run(
            experiment_id,
            start_time=_milliseconds(tracked.started),
            tags={KEY: tracked.key, NAME: tracked.name},
            run_name=tracked.name,
        )
        self._write(run, tracked, logged)
        # Last, so that an interrupted synchronisation is continued by the next one.
        self.client.set_tag(run.info.run_id, DIGEST, digest)
        return run, change

    def _find(self, experiment_id: str, key: str) -> Run | None:
        found = self.client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0] if found else None

    def _has_artifacts(self, run: Run, tracked: TrackedRun) -> bool:
        return not tracked.artifacts or bool(self.client.list_artifacts(run.info.run_id))

    def _logged(self, run: Run, tracked: TrackedRun) -> Points:
        """Return the latest value of each point that the run has."""
        names = {name for name, _ in _points(tracked)} & run.data.metrics.keys()
        history = [m for name in names for m in self.client.get_metric_history(run.info.run_id, name)]
        return {(m.key, m.step): m.value for m in sorted(history, key=lambda m: m.timestamp)}

    def _write(self, run: Run, tracked: TrackedRun, logged: Points) -> None:
        run_id, timestamp = run.info.run_id, _milliseconds(tracked.finished)
        metrics = [
            Metric(name, value, timestamp, step)
            for (name, step), value in _points(tracked).items()
            if logged.get((name, step)) != value
        ]
        params = [Param(name, value[:MAX_PARAM_VAL_LENGTH]) for name, value in tracked.params.items()]
        tags = tracked.tags | {"mlflow.source.name": "prunescope", "mlflow.note.content": tracked.note}
        labels = [RunTag(name, value[:MAX_TAG_VAL_LENGTH]) for name, value in tags.items() if value]
        for chunk in _chunks(metrics, MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=chunk)
        for chunk in _chunks(params, MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(run_id, params=chunk)
        for chunk in _chunks(labels, MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(run_id, tags=chunk)
        for name, path in tracked.artifacts.items():
            folder = Path(name).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if folder == "." else folder)
        if isinstance(tracked, ExperimentRun):
            self._link(self.client.get_run(run_id), tracked, timestamp)
        self.client.set_terminated(run_id, end_time=timestamp)

    def _link(self, run: Run, tracked: ExperimentRun, timestamp: int) -> None:
        """Link the calibration text, the parent and the pruned model."""
        if tracked.calibration:
            self.client.log_inputs(run.info.run_id, [_dataset_input(tracked)])
        if tracked.parent:
            put_parent(self.client, run, tracked.parent)
        if tracked.pruned:
            shown = {n: v for n, v in tracked.metrics.items() if n == view.RATIO or n.startswith(view.PERPLEXITY)}
            metrics = [Metric(name, value, timestamp, 0) for name, value in shown.items()]
            put_pruned(self.client, run, tracked.pruned, metrics)

    def _supersede_others(self, run: Run, tracked: ExperimentRun) -> None:
        if SUPERSEDED in run.data.tags:
            self.client.delete_tag(run.info.run_id, SUPERSEDED)
        same_name = f"tags.`{NAME}` = '{tracked.name}'"
        for other in self.client.search_runs([run.info.experiment_id], same_name):
            if other.data.tags[KEY] != tracked.key:
                self._tag(other, {SUPERSEDED: tracked.key})

    def _tag(self, run: Run, tags: dict[str, str]) -> None:
        for name, value in tags.items():
            if run.data.tags.get(name) != value:
                self.client.set_tag(run.info.run_id, name, value)


def _points(tracked: TrackedRun) -> Points:
    """Return every number by name and step; the step of a curve's value is its layer, of a history's its own."""
    return {(name, 0): value for name, value in tracked.metrics.items()} | _curve_points(tracked)


def _curve_points(tracked: TrackedRun) -> Points:
    by_layer = {
        (name, layer): value
        for name, curve in tracked.curves.items()
        for layer, value in enumerate(curve)
        if value is not None
    }
    return by_layer | {(name, step): value for name, history in tracked.histories.items() for step, value in history}


def _contradicts(run: Run, logged: Points, tracked: TrackedRun) -> bool:
    """Return whether the run holds what MLflow cannot change: another parameter, or another curve."""
    params = {name: value[:MAX_PARAM_VAL_LENGTH] for name, value in tracked.params.items()}
    other_params = any(run.data.params.get(name, value) != value for name, value in params.items())
    return other_params or any(logged.get(at, value) != value for at, value in _curve_points(tracked).items())


def _dataset_input(tracked: ExperimentRun) -> DatasetInput:
    text = tracked.calibration
    source = f'{{"uri": "{text.directory}"}}'
    dataset = Dataset(text.name, text.digest, "local", source, profile=text.profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "calibration")])


def _chunks(items: Sequence, size: int) -> Iterator[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
