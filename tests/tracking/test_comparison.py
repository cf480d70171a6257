"""The comparison of a sweep in MLflow: a run of its own, and the best experiment tagged."""

import pytest
from fake_results import MODEL, NAME, URI, write_comparison, write_experiment
from mlflow import MlflowClient

from prunescope.tracking.gather import RecordError
from prunescope.tracking.track import track_all, track_one

OTHER, TAG = "taylor_T0_20_wiki", "prunescope.best_of.remedies"


@pytest.fixture
def experiments(project):
    write_experiment(project, OTHER, key="33334444")


def runs(root, experiment=MODEL):
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return {run.info.run_name: run for run in found}


def best(root):
    return {name: run.data.tags[TAG] for name, run in runs(root).items() if TAG in run.data.tags}


def test_figures_and_table_are_artifacts_of_a_run_of_their_own(project, experiments):
    write_comparison(project)
    assert track_all(project, URI)["new"] == 3
    (run,) = runs(project, f"{MODEL}/_comparisons").values()
    files = MlflowClient(f"sqlite:///{project}/mlflow.db").list_artifacts(run.info.run_id)
    assert {file.path for file in files} == {
        "comparison.csv", "comparison.md", "perplexity.png", "perplexity.svg", "recommendation.json",
    }  # fmt: skip
    assert run.data.tags["recommended"] == NAME
    assert run.data.tags["mlflow.note.content"] == f"{NAME} is best."


def test_only_the_best_of_the_last_comparison_is_tagged(project, experiments):
    write_comparison(project)
    write_comparison(project, OTHER, sweep="criteria")
    track_all(project, URI)
    assert best(project) == {NAME: "lowest of 2"}
    write_comparison(project, OTHER)
    assert track_all(project, URI)["updated"] == 1
    assert best(project) == {OTHER: "lowest of 2"}
    assert runs(project)[OTHER].data.tags["prunescope.best_of.criteria"] == "lowest of 2"
    assert len(runs(project, f"{MODEL}/_comparisons")) == 2


def test_a_second_sync_adds_nothing(project, experiments, store_counts):
    write_comparison(project)
    track_all(project, URI)
    before = store_counts(project)
    assert track_all(project, URI)["unchanged"] == 3
    assert store_counts(project) == before


def test_what_a_failed_run_compared_is_not_tracked(project, experiments):
    folder = write_comparison(project)
    (folder / "record.json").unlink()
    assert track_all(project, URI)["unfinished"] == 1
    with pytest.raises(RecordError, match="compares what a failed run left"):
        track_one(folder, URI)
