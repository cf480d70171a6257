"""Records into MLflow; the only module that imports it. MLflow is a view that `results/` can rebuild."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from filelock import FileLock

from prunescope.errors import PrunescopeError
from prunescope.tracking import store
from prunescope.tracking.gather import (
    ExperimentRun,
    TrackedRun,
    gather_experiment,
    gather_shared,
    shared_directory,
)

# Read by MLflow when it is imported. Its own defaults retry a dead server for 247 s and report usage.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.utils.validation import (
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)
from requests.exceptions import RequestException
from sqlalchemy.exc import OperationalError

KEY, NAME, DIGEST = "prunescope.key", "prunescope.name", "prunescope.digest"
SUPERSEDED = "prunescope.superseded_by"
Change = Literal["new", "updated", "unchanged"]
Points = dict[tuple[str, int], float]


class TrackingUnavailable(PrunescopeError):
    """The tracking store cannot be reached; nothing but the synchronisation is lost."""


@dataclass(frozen=True)
class SyncResult:
    """Where an experiment is in MLflow, and whether this synchronisation changed it."""

    directory: Path
    key: str
    run_id: str
    experiment_id: str
    change: Change


def sync(experiments: Iterable[Path], uri: str) -> list[SyncResult]:
    """Upsert the experiments in the given folders and the shared steps they use.

    An unchanged one costs a look-up and adds nothing.

    Args:
        experiments: folders ``results/{model}/{experiment}``.
        uri: MLflow address, as configured; a sqlite file is relative to the working directory.

    Raises:
        TrackingUnavailable: the store cannot be reached.
        RecordError: an experiment has not finished or has a broken record.
    """
    gathered = [(directory, gather_experiment(directory)) for directory in experiments]
    with connected(uri) as client:
        target = _Target(client)
        return [target.put_experiment(directory, run) for directory, run in gathered]


@contextmanager
def connected(uri: str) -> Iterator[MlflowClient]:
    """Yield a client of the store, alone among the project's processes; a fresh database is created.

    Raises:
        TrackingUnavailable: the store cannot be reached, now or inside the block.
    """
    uri = store.tracking_uri(uri)
    lock = store.lock_file(uri)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), _quiet(), _explaining_absence(uri):
        client = MlflowClient(tracking_uri=store.absolute(uri))
        if root := store.artifact_root(uri):
            # Every public way to give MLflow a relative root makes it absolute.
            client._tracking_client.store.artifact_root_uri = root
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is said in one sentence instead: retries, and the migrations of a fresh database."""
    levels = {"urllib3.connectionpool": logging.ERROR, "mlflow.store.db": logging.ERROR}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _explaining_absence(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, RequestException, OperationalError) as error:
        reason = _absence(error, uri)
        if reason is None:
            raise
        raise TrackingUnavailable(
            f"the tracking store {store.redact(uri)} {reason}; the results are safe, and "
            "`prunescope track --all` catches up once it is back"
        ) from error


def _absence(error: Exception, uri: str) -> str | None:
    """Return what keeps us from the store, None when the error is of another kind."""
    status = _http_status(error)
    if status in (401, 403):
        return f"refuses access (HTTP {status}: see MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN)"
    if status == 404 and store.is_server(uri) and not isinstance(error, RestException):
        return "does not answer like an MLflow server"
    # A server that does not answer looks like an internal error to MLflow's client.
    return "cannot be reached" if status == 503 or (status >= 500 and store.is_server(uri)) else None


def _http_status(error: Exception) -> int:
    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    response = getattr(error, "response", None)
    return 503 if response is None else response.status_code


class _Target:
    """The upsert operations on one connected store."""

    def __init__(self, client: MlflowClient):
        self.client = client
        self.experiment_id = cache(self._experiment_id)
        self.put_shared = cache(self._put_shared)

    def put_experiment(self, directory: Path, tracked: ExperimentRun) -> SyncResult:
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
        return SyncResult(directory, tracked.key, run_id, run.info.experiment_id, change)

    def _put_shared(self, directory: Path) -> Run | None:
        tracked = gather_shared(directory)
        return self._upsert(f"{tracked.model}/_shared", tracked)[0] if tracked else None

    def _experiment_id(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # Without the kind, the UI opens on the pages for language-model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.create_experiment(name, tags=kind)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _upsert(self, experiment: str, tracked: TrackedRun) -> tuple[Run, Change]:
        experiment_id, digest = self.experiment_id(experiment), tracked.digest()
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
        self._write(run.info.run_id, tracked, logged)
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

    def _write(self, run_id: str, tracked: TrackedRun, logged: Points) -> None:
        timestamp = _milliseconds(tracked.finished)
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
        if isinstance(tracked, ExperimentRun) and tracked.calibration:
            self.client.log_inputs(run_id, [_dataset_input(tracked)])
        self.client.set_terminated(run_id, end_time=timestamp)

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
