"""Parent and pruned checkpoint as MLflow's logged models: described and linked to runs, their weights never copied."""

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

from prunescope.tracking.checkpoints import Checkpoint

KEY = "prunescope.key"
FORBIDDEN = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""What MLflow forbids in the name of a model."""


def put_parent(client: MlflowClient, run: Run, parent: Checkpoint) -> None:
    """Make `parent` an input of the run."""
    model = _find(client, run.info.experiment_id, parent.key) or _create(client, run.info.experiment_id, parent)
    if model.model_id not in {used.model_id for used in run.inputs.model_inputs}:
        client.log_inputs(run.info.run_id, models=[LoggedModelInput(model.model_id)])


def put_pruned(client: MlflowClient, run: Run, pruned: Checkpoint, metrics: list[Metric]) -> None:
    """Make `pruned` the output of the run and give it `metrics`; what another run made under its key is replaced."""
    model = _find(client, run.info.experiment_id, pruned.key)
    if model is not None and model.source_run_id != run.info.run_id:
        client.delete_logged_model(model.model_id)
        model = None
    model = model or _create(client, run.info.experiment_id, pruned, run.info.run_id)
    known = {metric.key: metric.value for metric in model.metrics or ()}
    client.log_batch(
        run.info.run_id,
        [
            Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=model.model_id)
            for metric in metrics
            if known.get(metric.key) != metric.value
        ],
    )
    if model.model_id not in {made.model_id for made in run.outputs.model_outputs}:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])


def _find(client: MlflowClient, experiment_id: str, key: str) -> LoggedModel | None:
    found = client.search_logged_models([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def _create(client: MlflowClient, experiment_id: str, checkpoint: Checkpoint, run_id: str | None = None) -> LoggedModel:
    model = client.create_logged_model(
        experiment_id,
        name=checkpoint.name.translate(FORBIDDEN),
        source_run_id=run_id,
        tags={KEY: checkpoint.key, "path": checkpoint.path, MLFLOW_MODEL_IS_EXTERNAL: "true"},
        params=checkpoint.facts,
        model_type="language model",
    )
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
