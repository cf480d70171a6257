"""An experiment that is refitted: its own steps, what runs again, and what page, card and tracking show."""

import json

import pytest

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.tracking.gather import gather
from workflow.test_dag import change_configuration

EXPERIMENT = "results/tiny/taylor_T0_20_words_refit"
TOLD = {"tokens": 640, "seq_len": 16}


@pytest.fixture(scope="module")
def refitted(finished, tmp_path_factory):
    project = finished.copy(tmp_path_factory.mktemp("refit") / "project")
    change_configuration(project, repair={"refit": TOLD})
    project.run(EXPERIMENT)
    return project


def test_it_is_complete_and_others_do_nothing_new(refitted):
    assert refitted.jobs() == refitted.jobs(EXPERIMENT) == {}
    folder = ExperimentFolder(refitted.folder / EXPERIMENT)
    report = folder.refit.read()
    assert report.tokens + report.held_out_tokens == 640
    assert report.fitted and report.error < report.cut_error
    run = gather(folder.path)
    assert run.metrics["refit/error"] == pytest.approx(report.error, rel=1e-5)
    assert run.curves["refit/mlp_error_by_layer"]
    said = f"{len(report.fitted)} of {len(report.blocks)} output projections were fitted"
    assert said in folder.page.read()
    card = (folder.checkpoint.path / "README.md").read_text()
    assert said in card and "what the cut and the refit leave" in card
    assert json.loads(folder.card.path.read_text())["refit"]["tokens"] == 640
    plain = ExperimentFolder(refitted.folder / "results/tiny/taylor_T1_tau0_20_words").identity.path
    assert "repair" in json.loads(folder.identity.path.read_text())["settings"]
    assert "repair" not in json.loads(plain.read_text())["settings"]


def test_verify_compares_with_the_fitted_parent(refitted):
    done = refitted.prunescope("verify", EXPERIMENT)
    assert "equal" in done.stdout and "DIFFERS" not in done.stdout


@pytest.mark.parametrize(
    ("change", "expected"), [({"ridge": [0.5]}, {"refit": 1}), ({"tokens": 320}, {"refit_text": 1, "refit": 1})]
)
def test_a_setting_fits_and_cuts_again_and_decides_nothing_again(refitted, change, expected):
    change_configuration(refitted, repair={"refit": TOLD | change})
    try:
        after = {"pruning": 1, "evaluation": 1, "page": 1, "track": 1}
        assert refitted.jobs(EXPERIMENT) == expected | after
        assert refitted.jobs() == {}
    finally:
        change_configuration(refitted, repair={"refit": TOLD})
