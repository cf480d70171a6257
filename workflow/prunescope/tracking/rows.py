"""The rows of MLflow's runs tables: found by their key, and written where they differ from what is tracked."""

from functools import cache
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.utils import validation as limits

from prunescope.tracking.links import KEY, link
from prunescope.tracking.tracked import TrackedRun

NAME, DIGEST = "prunescope.name", "prunescope.digest"
Change = Literal["new", "updated", "unchanged"]
Points = dict[tuple[str, int], float]


class Rows:
    """The rows of one connected store."""

    def __init__(self, client: MlflowClient):
        self.client = client
        self.experiment = cache(self._experiment)

    def _experiment(self, name: str) -> Experiment:
        """Return MLflow's experiment of a name, which is a table of runs; create it if it is not there."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # Without the kind, the UI opens on the pages for language-model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return self.client.get_experiment(self.client.create_experiment(name, tags=kind))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found

    def find(self, experiment_id: str, key: str) -> Run | None:
        """Return the run of a key."""
        found = self.client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0] if found else None

    def tag(self, run: Run, name: str, value: str) -> None:
        """Set a tag, if the run does not have it yet."""
        if run.data.tags.get(name) != value:
            self.client.set_tag(run.info.run_id, name, value)

    def put(self, experiment: str, tracked: TrackedRun) -> tuple[Run, Change]:
        """Write what is tracked into its row. An unchanged row costs a look-up and nothing is added.

        MLflow cannot change a parameter or remove a point of a curve: a row that holds others is replaced.
        """
        experiment_id, digest = self.experiment(experiment).experiment_id, tracked.digest()
        run = self.find(experiment_id, tracked.key)
        same = run and run.data.tags.get(DIGEST) == digest
        if run and same and (not tracked.artifacts or self.client.list_artifacts(run.info.run_id)):
            return run, "unchanged"
        logged = self._logged(run, tracked) if run else {}
        if run and _contradicts(run, logged, tracked):
            self.client.delete_run(run.info.run_id)
            run, logged = None, {}
        change: Change = "updated" if run else "new"
        run = run or self.client.create_run(
            experiment_id,
            start_time=round(tracked.started * 1000),
            tags={KEY: tracked.key, NAME: tracked.name},
            run_name=tracked.name,
        )
        self._write(run.info.run_id, tracked, logged)
        # Last, so that an interrupted synchronisation is continued by the next one.
        self.client.set_tag(run.info.run_id, DIGEST, digest)
        return run, change

    def _logged(self, run: Run, tracked: TrackedRun) -> Points:
        """Return the latest value of each point that the run has."""
        names = {name for name, _ in _points(tracked)} & run.data.metrics.keys()
        history = [m for name in names for m in self.client.get_metric_history(run.info.run_id, name)]
        return {(m.key, m.step): m.value for m in sorted(history, key=lambda m: m.timestamp)}

    def _write(self, run_id: str, tracked: TrackedRun, logged: Points) -> None:
        timestamp = round(tracked.finished * 1000)
        new = {at: value for at, value in _points(tracked).items() if logged.get(at) != value}
        tags = tracked.tags | {"mlflow.source.name": "prunescope", "mlflow.note.content": tracked.note}
        metrics = [Metric(name, value, timestamp, step) for (name, step), value in new.items()]
        params = [Param(name, value[: limits.MAX_PARAM_VAL_LENGTH]) for name, value in tracked.params.items()]
        labels = [RunTag(name, value[: limits.MAX_TAG_VAL_LENGTH]) for name, value in tags.items() if value]
        for start in range(0, len(metrics), limits.MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + limits.MAX_METRICS_PER_BATCH])
        for start in range(0, max(len(params), len(labels)), limits.MAX_PARAMS_TAGS_PER_BATCH):
            some = slice(start, start + limits.MAX_PARAMS_TAGS_PER_BATCH)
            self.client.log_batch(run_id, params=params[some], tags=labels[some])
        for name, path in tracked.artifacts.items():
            folder = Path(name).parent.as_posix()
            self.client.log_artifact(run_id, str(path), None if folder == "." else folder)
        link(self.client, self.client.get_run(run_id), tracked)
        self.client.set_terminated(run_id, end_time=timestamp)


def _points(tracked: TrackedRun) -> Points:
    """Return every number by name and step; that of a metric is 0."""
    return {(name, 0): value for name, value in tracked.metrics.items()} | _curve_points(tracked)


def _curve_points(tracked: TrackedRun) -> Points:
    return {(name, step): value for name, curve in tracked.curves.items() for step, value in curve.items()}


def _contradicts(run: Run, logged: Points, tracked: TrackedRun) -> bool:
    """Return whether the run holds what MLflow cannot change: another parameter, or another curve."""
    params = {name: value[: limits.MAX_PARAM_VAL_LENGTH] for name, value in tracked.params.items()}
    other_params = any(run.data.params.get(name, value) != value for name, value in params.items())
    return other_params or any(logged.get(at, value) != value for at, value in _curve_points(tracked).items())
