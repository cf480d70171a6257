import base64
import json
import shutil
import sqlite3
import subprocess
import time
import zlib
from pathlib import Path

import pytest
from fake_results import (
    KEYS,
    MODEL,
    NAME,
    RATES,
    START,
    URI,
    write_experiment,
    write_identity,
    write_record,
    write_records,
)
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND
from requests.exceptions import ConnectionError
from sqlalchemy.exc import OperationalError

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.tracking.connection import TrackingUnavailable, _reason, connected
from prunescope.tracking.rows import Rows
from prunescope.tracking.sync import sync

RESULTS = f"results/{MODEL}"


def client_of(root) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root}/mlflow.db")


def rows(root, experiment=MODEL):
    client = client_of(root)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def contents(root):
    """Return all that a store shows, without the ids that it gives."""
    client, shown = client_of(root), {}
    for run in rows(root) + rows(root, f"{MODEL}/_shared"):
        links = ("prunescope.shared.", "prunescope.used_by.")
        history = [m for name in run.data.metrics for m in client.get_metric_history(run.info.run_id, name)]
        shown[run.info.run_name] = {
            "params": run.data.params,
            "tags": {k: v for k, v in run.data.tags.items() if not k.startswith(links)},
            "metrics": sorted((m.key, m.step, m.value, m.timestamp) for m in history),
            "time": (run.info.start_time, run.info.end_time, run.info.status),
            "inputs": [i.dataset.to_dictionary() for i in run.inputs.dataset_inputs],
            "files": sorted(f.path for f in client.list_artifacts(run.info.run_id, "analysis")),
        }
    return shown


@pytest.fixture
def directory(project):
    return project / RESULTS / NAME


def test_one_row_with_everything(project, directory):
    (result,) = sync([directory], URI)
    (run,) = rows(project)
    client = client_of(project)
    assert (run.info.run_id, run.data.tags["prunescope.key"]) == (result.run_id, result.key)
    assert run.data.params["method.criterion"] == "taylor"
    assert run.data.metrics["ppl/wiki/w512"] == 54.6
    assert run.data.tags["mlflow.note.content"] == "Perplexity 54.6.\n"
    assert run.data.tags["prunescope.checkpoint"] == f"{RESULTS}/{NAME}/model"
    assert (run.info.start_time, run.info.end_time) == (START * 1000, (START + 310) * 1000)
    curve = client.get_metric_history(run.info.run_id, "prune/rate_by_layer")
    assert {m.step: m.value for m in curve} == {0: 0.1, 2: 0.3, 3: 0.25}
    assert {m.timestamp for m in curve} == {run.info.end_time}
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"README.md", "analysis", "evaluation", "visualization"}
    (text,) = run.inputs.dataset_inputs
    assert (text.dataset.name, text.dataset.digest) == ("wiki", "f" * 16)


def test_shared_steps_are_linked_both_ways(project, directory):
    (result,) = sync([directory], URI)
    shared = {run.info.run_name: run for run in rows(project, f"{MODEL}/_shared")}
    assert set(shared) == {f"{step}/{key}" for step, key in KEYS.items()}
    gradients = shared[f"gradients/{KEYS['gradients']}"]
    (run,) = rows(project)
    assert run.data.tags["prunescope.shared.gradients"] == gradients.info.run_id
    assert gradients.data.tags[f"prunescope.used_by.{NAME}"] == result.run_id
    assert gradients.data.metrics["grad/loss"] == 2.5


def models(root):
    client = client_of(root)
    experiment_id = client.get_experiment_by_name(MODEL).experiment_id
    return {model.name: model for model in client.search_logged_models([experiment_id])}


def test_parent_and_pruned_checkpoint_are_models_whose_weights_stay_where_they_are(project, directory):
    (result,) = sync([directory], URI)
    found = models(project)
    assert set(found) == {MODEL, NAME}
    parent, pruned = found[MODEL], found[NAME]
    assert (parent.tags["path"], pruned.tags["path"]) == ("resources/models/Tiny", f"{RESULTS}/{NAME}/model")
    assert (parent.params["origin"], pruned.params["parent"]) == ("tests", MODEL)
    assert pruned.source_run_id == result.run_id
    assert {metric.key: metric.value for metric in pruned.metrics} == {"ppl/wiki/w512": 54.6}
    run = client_of(project).get_run(result.run_id)
    assert [used.model_id for used in run.inputs.model_inputs] == [parent.model_id]
    assert [made.model_id for made in run.outputs.model_outputs] == [pruned.model_id]
    assert not list(project.glob("mlartifacts/**/*.safetensors"))


def test_experiments_share_their_parent(project, directory):
    sync([directory, write_experiment(project, "taylor_T0_20_wiki", key="33334444")], URI)
    assert set(models(project)) == {MODEL, NAME, "taylor_T0_20_wiki"}


def test_the_view_has_a_column_and_a_chart_for_every_perplexity(project, directory):
    sync([directory], URI)
    other = write_experiment(project, "taylor_T0_20_wiki")
    write_record(other, "evaluation", metrics={"ppl/hansard/w512": 50.0})
    sync([other], URI)
    experiment = client_of(project).get_experiment_by_name(MODEL)
    saved = json.loads(experiment.tags["mlflow.sharedViewState.prunescope"])
    state = json.loads(zlib.decompress(base64.b64decode(saved["state"].removeprefix("deflate;"))))
    both = ["ppl/hansard/w512", "ppl/wiki/w512"]
    shown = ["ppl/geomean_ratio", *both]
    assert state["selectedColumns"][:3] == [f"metrics.`{name}`" for name in shown]
    scatters = [card for card in state["compareRunCharts"] if card["type"] == "SCATTER"]
    assert [(card["xaxis"]["key"], card["yaxis"]["key"]) for card in scatters] == [
        ("method.ratio", name) for name in shown
    ]


def test_a_second_sync_adds_nothing(project, directory, store_counts):
    other = write_experiment(project, "taylor_T0_20_wiki")
    first = sync([directory, other], URI)
    before, shown = store_counts(project), contents(project)
    second = sync([directory, other], URI)
    assert store_counts(project) == before
    assert contents(project) == shown
    assert [r.change for r in first] == ["new"] * 2
    assert [r.change for r in second] == ["unchanged"] * 2
    assert [r.run_id for r in first] == [r.run_id for r in second]


def test_a_lost_store_is_rebuilt_from_results(project, directory, empty_database, monkeypatch):
    sync([directory], URI)
    shown = contents(project)
    lost = project.with_name("rebuilt")
    shutil.copytree(project / "results", lost / "results")
    shutil.copy(empty_database, lost)
    sync([lost / RESULTS / NAME], f"sqlite:///{lost}/mlflow.db")
    monkeypatch.chdir(lost)
    assert contents(lost) == shown


def test_another_key_makes_a_new_run_and_supersedes_the_old(project, directory):
    (old,) = sync([directory], URI)
    write_experiment(project, key="33334444", temperature=2.0)
    (new,) = sync([directory], URI)
    tags = {run.info.run_id: run.data.tags for run in rows(project)}
    assert set(tags) == {old.run_id, new.run_id}
    assert tags[old.run_id]["prunescope.superseded_by"] == new.key
    assert "prunescope.superseded_by" not in tags[new.run_id]

    write_experiment(project)
    (back,) = sync([directory], URI)
    tags = {run.info.run_id: run.data.tags for run in rows(project)}
    assert back.run_id == old.run_id
    assert "prunescope.superseded_by" not in tags[old.run_id]
    assert tags[new.run_id]["prunescope.superseded_by"] == old.key


def test_a_repeated_step_updates_its_row(project, directory, store_counts):
    (first,) = sync([directory], URI)
    before = store_counts(project)
    write_records(directory, ppl=60.0, later=1000.0)
    (second,) = sync([directory], URI)
    assert (second.run_id, second.change) == (first.run_id, "updated")
    assert rows(project)[0].data.metrics["ppl/wiki/w512"] == 60.0
    new = {table: before[table] + 1 for table in ("metrics", "logged_model_metrics")}
    assert store_counts(project) == before | new


def test_a_changed_curve_replaces_the_row(project, directory, monkeypatch):
    (first,) = sync([directory], URI)
    monkeypatch.setattr("fake_results.RATES", [0.5, *RATES[1:]])
    write_records(directory)
    (second,) = sync([directory], URI)
    assert [run.info.run_id for run in rows(project)] == [second.run_id]
    assert models(project)[NAME].source_run_id == second.run_id
    assert second.run_id != first.run_id


def test_an_interrupted_sync_is_completed(project, directory, store_counts, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            sync([directory], URI)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", stop)
        with pytest.raises(KeyboardInterrupt):
            sync([directory], URI)
    sync([directory], URI)
    before = store_counts(project)
    assert (before["runs"], len(rows(project))) == (1 + len(KEYS), 1)
    assert sync([directory], URI)[0].change == "unchanged"


def test_lost_artifacts_and_deleted_experiments_come_back(project, directory, store_counts):
    (first,) = sync([directory], URI)
    before = store_counts(project)
    shutil.rmtree(project / "mlartifacts")
    sync([directory], URI)
    assert store_counts(project) == before
    client_of(project).delete_experiment(first.experiment_id)
    assert sync([directory], URI)[0].run_id == first.run_id


def test_a_shared_step_without_record_is_linked_by_key(project, directory):
    ExperimentFolder(directory).shared("gradients", KEYS["gradients"]).record.path.unlink()
    sync([directory], URI)
    assert rows(project)[0].data.tags["prunescope.shared.gradients"] == KEYS["gradients"]


def test_more_than_one_batch(project, directory):
    curves = {f"prune/c{i}": [float(layer) for layer in range(80)] for i in range(30)}
    write_record(directory, "pruning", curves=curves, tags={f"t{i}": str(i) for i in range(150)})
    write_identity(directory, params={f"p{i}": i for i in range(150)})
    ExperimentFolder(directory).page.write("long " * 3000)
    sync([directory], URI)
    (run,) = rows(project)
    assert len(client_of(project).get_metric_history(run.info.run_id, "prune/c29_by_layer")) == 80
    assert {f"p{i}" for i in range(150)} <= run.data.params.keys()
    assert {f"t{i}" for i in range(150)} <= run.data.tags.keys()


def test_a_moved_folder_still_opens_its_artifacts(project, directory, monkeypatch):
    (result,) = sync([directory], URI)
    moved = project.with_name("moved")
    project.rename(moved)
    monkeypatch.chdir(moved)
    (run,) = rows(moved)
    assert run.info.artifact_uri.startswith("mlartifacts/")
    page = download_artifacts(f"runs:/{result.run_id}/README.md", tracking_uri=f"sqlite:///{moved}/mlflow.db")
    assert Path(page).read_text() == (moved / RESULTS / NAME / "README.md").read_text()
    assert sync([moved / RESULTS / NAME], URI)[0].change == "unchanged"


def test_two_folders_with_one_store_keep_their_artifacts_beside_it(project, directory, monkeypatch):
    sync([directory], URI)
    other = project.with_name("other")
    write_experiment(other, "taylor_T0_20_wiki", key="33334444")
    monkeypatch.chdir(other)
    (result,) = sync([Path(RESULTS, "taylor_T0_20_wiki")], f"sqlite:///{project}/mlflow.db")
    (run,) = (run for run in rows(project) if run.info.run_id == result.run_id)
    assert (project / run.info.artifact_uri / "README.md").is_file()
    assert not (other / "mlartifacts").exists()


def test_four_processes_on_a_fresh_store(programs, project, store_counts):
    (project / "mlflow.db").unlink()
    names = [f"taylor_T{i}_20_wiki" for i in range(4)]
    for name in names:
        write_experiment(project, name)
    code = "import sys, pathlib; from prunescope.tracking.sync import sync; "
    code += f"sync([pathlib.Path('{RESULTS}', sys.argv[1])], '{URI}')"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen([programs / "python", "-c", code, name], **pipes) for name in names]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert said == [""] * 4, "a fresh database must be quiet"
    assert sorted(run.info.run_name for run in rows(project)) == names
    assert store_counts(project)["runs"] == 4 + len(KEYS)


def test_the_lock_is_beside_the_database(project):
    with connected(URI):
        assert (project / ".mlflow.db.lease").exists()


def test_a_second_sync_is_quick(project, directory):
    sync([directory], URI)
    begin = time.perf_counter()
    sync([directory], URI)
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("error", "uri", "reason"),
    [
        (RestException({"error_code": "UNAUTHENTICATED"}), "http://host", "refuses access"),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE"}), "http://host", "cannot be reached"),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE"}), "http://host", "cannot be used (INVALID_PARAMETER"),
        (MlflowException("a page", ENDPOINT_NOT_FOUND), "http://host", "does not answer like an MLflow"),
        (MlflowException("out-of-date schema\nand more"), URI, "cannot be used (out-of-date schema)"),
        (ModuleNotFoundError("No module named 'psycopg2'"), "postgresql://host", "cannot be used (No module named"),
        (ConnectionError(), "http://host", "cannot be reached"),
        (OperationalError("select", {}, Exception("no such host")), "postgresql://host", "cannot be reached"),
    ],
)
def test_what_a_store_that_does_not_work_means_is_said(error, uri, reason):
    assert _reason(error, uri).startswith(reason)


def test_a_refusal_tells_no_password(project):
    uri = "http://me:secret@host"
    assert "secret" not in _reason(RestException({"error_code": "NOT_FOUND", "message": f"no {uri}/x"}), uri)


def test_a_database_of_another_version_is_a_sentence(project):
    with sqlite3.connect(project / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
    with (
        pytest.raises(TrackingUnavailable, match=r"cannot be used .*schema.*db upgrade.*results are safe"),
        connected(URI),
    ):
        pass
