"""What a run is linked with: its calibration text, and its parent and pruned model, whose weights are not copied."""

import json

from mlflow import MlflowClient, entities
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

from prunescope.tracking import view
from prunescope.tracking.tracked import Checkpoint, TrackedRun

KEY = "prunescope.key"
FORBIDDEN = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""What MLflow forbids in the name of a model."""


def link(client: MlflowClient, run: entities.Run, tracked: TrackedRun) -> None:
    """Link a run with what `tracked` has: the text and the parent are its inputs, the pruned model is its output."""
    if text := tracked.calibration:
        source = json.dumps({"uri": text.directory})
        dataset = entities.Dataset(text.name, text.digest, "local", source, profile=text.profile)
        context = entities.InputTag("mlflow.data.context", "calibration")
        client.log_inputs(run.info.run_id, [entities.DatasetInput(dataset, [context])])
    if parent := tracked.parent:
        table = run.info.experiment_id
        model = _find(client, table, parent.key) or _create(client, table, parent)
        if not run.inputs or model.model_id not in {used.model_id for used in run.inputs.model_inputs}:
            client.log_inputs(run.info.run_id, models=[entities.LoggedModelInput(model.model_id)])
    if tracked.pruned:
        _put_pruned(client, run, tracked.pruned, tracked)


def _put_pruned(client: MlflowClient, run: entities.Run, pruned: Checkpoint, tracked: TrackedRun) -> None:
    """Make `pruned` the output of the run, with the metrics of the charts; replace what another run made of its key."""
    model = _find(client, run.info.experiment_id, pruned.key)
    if model is not None and model.source_run_id != run.info.run_id:
        client.delete_logged_model(model.model_id)
        model = None
    model = model or _create(client, run.info.experiment_id, pruned, run.info.run_id)
    known = {metric.key: metric.value for metric in model.metrics or ()}
    timestamp = round(tracked.finished * 1000)
    logged = [
        entities.Metric(name, value, timestamp, 0, model_id=model.model_id)
        for name, value in tracked.metrics.items()
        if (name == view.RATIO or name.startswith(view.PERPLEXITY)) and known.get(name) != value
    ]
    client.log_batch(run.info.run_id, logged)
    if not run.outputs or model.model_id not in {made.model_id for made in run.outputs.model_outputs}:
        client.log_outputs(run.info.run_id, [entities.LoggedModelOutput(model.model_id, step=0)])


def _find(client: MlflowClient, experiment_id: str, key: str) -> entities.LoggedModel | None:
    found = client.search_logged_models([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def _create(
    client: MlflowClient, experiment_id: str, checkpoint: Checkpoint, run_id: str | None = None
) -> entities.LoggedModel:
    model = client.create_logged_model(
        experiment_id,
        name=checkpoint.name.translate(FORBIDDEN),
        source_run_id=run_id,
        tags={KEY: checkpoint.key, "path": checkpoint.path, MLFLOW_MODEL_IS_EXTERNAL: "true"},
        params=checkpoint.facts,
        model_type="language model",
    )
    return client.finalize_logged_model(model.model_id, entities.LoggedModelStatus.READY)
