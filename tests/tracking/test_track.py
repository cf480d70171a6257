import json
import logging
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_results import MODEL, NAME, URI, write_comparison, write_experiment
from mlflow import MlflowClient

from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.errors import DataError
from prunescope.steps.job import Job
from prunescope.steps.reporting import TrackComparisonSpec, TrackSpec
from prunescope.steps.table import TABLE
from prunescope.tracking.connection import TrackingUnavailable
from prunescope.tracking.gather import RecordError, gather
from prunescope.tracking.track import track, track_all, track_one


@pytest.fixture
def directory(project):
    return project / "results" / MODEL / NAME


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_mlflow_json_says_where_the_run_is(directory):
    path = track_one(directory, URI)
    content = json.loads(path.read_text())
    assert path == directory / "mlflow.json"
    assert content.keys() == {"run_id", "experiment_id", "key", "uri", "url", "synced_at"}
    assert (content["uri"], content["url"]) == (URI, None)
    assert content["key"] == f"{MODEL}/{NAME}-11112222"


def test_the_steps_bring_an_experiment_and_a_comparison_level(project, directory):
    own = ExperimentFolder(directory)
    track(Job(TrackSpec(model=MODEL, experiment=NAME, uri=URI), own, {}))
    assert own.tracked.read().key == f"{MODEL}/{NAME}-11112222"
    comparison = ComparisonFolder(write_comparison(project))
    track(Job(TrackComparisonSpec(uri=URI), comparison, {}))
    assert comparison.tracked.read().key == f"{MODEL}/comparison/remedies"
    for step in (TrackSpec.step, TrackComparisonSpec.step):
        assert TABLE[step].run == f"tracking.track:{track.__name__}"


def test_a_server_that_is_down_costs_only_the_sync(directory, closed_port, caplog, capfd):
    uri = f"http://me:secret@127.0.0.1:{closed_port}"
    begin = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        path = track_one(directory, uri)
    assert time.perf_counter() - begin < 20
    (warning,) = [record.getMessage() for record in caplog.records]
    assert f"http://127.0.0.1:{closed_port}" in warning
    assert "results are safe" in warning
    assert "prunescope track --all" in warning
    assert json.loads(path.read_text()) == {"run_id": None, "pending": True, "reason": warning}
    assert "secret" not in path.read_text() + caplog.text
    assert "Retrying" not in capfd.readouterr().err
    assert (directory / "records/evaluation.json").exists()


def test_track_all_raises_for_a_server_that_is_down_and_catches_up(project, directory, closed_port):
    track_one(directory, f"http://127.0.0.1:{closed_port}")
    with pytest.raises(TrackingUnavailable, match=r"cannot be reached; the results are safe, and .*--all"):
        track_all(project, f"http://127.0.0.1:{closed_port}")
    track_all(project, URI)
    assert json.loads((directory / "mlflow.json").read_text())["run_id"]


def test_track_all_counts(project, directory):
    assert track_all(project, URI) == Counter(new=1, updated=0, unchanged=0, unfinished=0)
    (write_experiment(project, "taylor_T0_20_wiki") / "records/evaluation.json").unlink()
    assert track_all(project, URI) == Counter(new=0, updated=0, unchanged=1, unfinished=1)
    assert track_all(project / "nothing", URI).total() == 0


def test_a_broken_record_is_never_swallowed(directory):
    (directory / "records/pruning.json").write_text("{")
    with pytest.raises(DataError, match=r"pruning\.json"):
        track_one(directory, URI)


def test_a_broken_experiment_does_not_stop_the_others(project, directory, caplog):
    other = write_experiment(project, name="taylor_T0_20_wiki", key="33334444")
    (directory / "records/pruning.json").write_text("{")
    counts = track_all(project, URI)
    assert (counts["broken"], counts["new"]) == (1, 1)
    assert "left out" in caplog.text and str(directory) in caplog.text
    assert (other / "mlflow.json").is_file()
    assert not (directory / "mlflow.json").exists()


@pytest.fixture
def run_again(directory, monkeypatch):
    """Remove what has been gathered and is about to be copied, as Snakemake does before a step runs again."""
    log, gone = MlflowClient.log_artifact, next(iter(gather(directory).artifacts.values()))

    def slow(client, run_id, path, *args):
        if Path(path) == gone:
            gone.unlink()
        log(client, run_id, path, *args)

    monkeypatch.setattr(MlflowClient, "log_artifact", slow)


def test_an_experiment_that_is_run_again_meanwhile_is_left_out_as_unfinished(project, directory, run_again):
    other = write_experiment(project, name="taylor_T0_20_wiki", key="33334444")
    assert track_all(project, URI) == Counter(new=1, unfinished=1)
    assert (other / "mlflow.json").is_file() and not (directory / "mlflow.json").exists()


def test_an_experiment_that_is_run_again_meanwhile_is_no_trouble_of_the_store(directory, run_again):
    with pytest.raises(RecordError, match="is being run again"):
        track_one(directory, URI)


def test_a_store_that_has_lost_a_file_of_its_own_is_not_an_experiment_that_runs_again(directory, monkeypatch):
    def lost(*_):
        raise FileNotFoundError(2, "No such file or directory", "/elsewhere/artifact")

    monkeypatch.setattr(MlflowClient, "log_artifact", lost)
    assert json.loads(track_one(directory, URI).read_text())["pending"]


def test_a_bug_is_never_swallowed(directory, monkeypatch):
    def bug(*_):
        raise ValueError("bug")

    monkeypatch.setattr("prunescope.tracking.rows._points", bug)
    with pytest.raises(ValueError, match="bug"):
        track_one(directory, URI)
