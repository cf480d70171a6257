"""Sweeps on the tiny model: shared steps once, a failure that stops nothing else, and what is said about it."""

import json
import re

import pandas as pd
import pytest
from test_dag import CHEAP, change_configuration

FEW = {"model": "tiny", "base": "taylor_T0_20_words", "product": {"T": [0, 1], "tau": [0]}}
THERE, NEW = "taylor_T1_tau0_20_words", "taylor_T0_20_words"
IMPOSSIBLE, FAILING = "taylor_T0_20_words_max10", "taylor_T0_20_words_n5000"
BROKEN = {"model": "tiny", "experiments": [THERE, NEW, IMPOSSIBLE, FAILING]}


@pytest.fixture(scope="module")
def swept(finished, tmp_path_factory):
    """A project with a sweep of which two experiments fail, and what the run printed."""
    project = finished.copy(tmp_path_factory.mktemp("swept") / "project")
    change_configuration(project, sweeps={"few": FEW, "broken": BROKEN})
    return project, project.run("sweep_broken", check=False)


@pytest.fixture
def own(swept, tmp_path):
    return swept[0].copy(tmp_path / "own")


def test_the_plan_comes_first(finished, tmp_path):
    project = finished.copy(tmp_path / "p")
    change_configuration(project, sweeps={"few": FEW, "broken": BROKEN})
    said = project.run("--dry-run", "sweep_broken").stdout
    assert re.search(r"sweep broken on tiny: 4 experiments, about [0-9.]+ (s|min|h)\n", said)
    rows = {line.split()[0]: line for line in said.splitlines() if line.startswith("  taylor")}
    assert "18 of 18 steps cached; to run: nothing" in rows[THERE]
    assert "6 of 17 steps cached; to run: importance, trial, diagnosis, figures, pruning" in rows[NEW]
    assert "to run: calibration, trial text, gradients, importance, trial" in rows[FAILING]
    assert "impossible: method.ratio = 0.2 cannot be reached under limits.max_rate = 0.1" in rows[IMPOSSIBLE]


def test_one_failure_does_not_stop_the_others(swept):
    project, done = swept
    assert done.returncode != 0
    for name in (THERE, NEW):
        assert (project.folder / f"results/tiny/{name}/mlflow.json").is_file()
    assert not (project.folder / f"results/tiny/{IMPOSSIBLE}").exists()


def test_the_summary_names_what_failed_and_why(swept):
    _, done = swept
    said = done.stderr[done.stderr.index("What failed:") :]
    assert "sweep broken on tiny: 2 of 4 experiments finished" in said
    assert f"{IMPOSSIBLE}: method.ratio = 0.2 cannot be reached under limits.max_rate" in said
    assert re.search(f"{FAILING}: calibration: .*fills 80 windows of 16 tokens, 5000 were asked for", said)
    assert "compared: results/tiny/comparison/broken/comparison.md" in said


def test_a_failed_sweep_is_compared_as_far_as_it_came(swept):
    project, _ = swept
    folder = project.folder / "results/tiny/comparison/broken"
    page = (folder / "comparison.md").read_text()
    assert f"- `{IMPOSSIBLE}`: method.ratio = 0.2 cannot" in page
    assert f"- `{FAILING}`: calibration: " in page
    table = pd.read_csv(folder / "comparison.csv", index_col=0)
    assert list(table.index) == ["(unpruned)", THERE, NEW]
    assert not (folder / "record.json").exists()


def test_the_report_shows_what_finished(own):
    own.call("snakemake", "--report", "report.html", "sweep_broken")
    report = (own.folder / "report.html").read_text()
    assert "tiny / comparison / broken" in report
    assert f"tiny / {NEW}" in report
    assert f"tiny / {FAILING}" not in report


def test_a_finished_experiment_is_not_run_again(swept):
    project, _ = swept
    jobs = project.jobs("sweep_broken")
    assert jobs.pop("impossible") == 1
    assert jobs == CHEAP | {"calibration": 1, "gradients": 1, "comparison": 1, "track_comparison": 1}


def test_a_sweep_that_lost_its_broken_experiments_is_compared_again(own):
    change_configuration(own, sweeps={"broken": BROKEN | {"experiments": [THERE, NEW]}})
    assert own.jobs("sweep_broken") == {"comparison": 1, "track_comparison": 1}
    own.run("sweep_broken")
    folder = own.folder / "results/tiny/comparison/broken"
    assert "Missing" not in (folder / "comparison.md").read_text()
    assert json.loads((folder / "record.json").read_text())["step"] == "comparison"
    assert json.loads((folder / "mlflow.json").read_text())["key"] == "tiny/comparison/broken"
    for target in ("sweep_broken", "results/tiny/comparison/broken", "./results/tiny/comparison/broken/"):
        assert own.jobs(target) == {}
    change_configuration(own, sweeps={"broken": BROKEN | {"experiments": [THERE, NEW, "taylor_T0_40_words"]}})
    assert own.jobs("sweep_broken") == CHEAP | {"comparison": 1, "track_comparison": 1}


def test_a_ratio_out_of_reach_is_known_once_the_model_is_there(own):
    change_configuration(own, sweeps={"few": FEW | {"product": {"ratio": [30], "max": [31]}}})
    done = own.run("sweep_few", check=False)
    assert done.returncode != 0
    said = done.stderr[done.stderr.index("What failed:") :]
    assert "sweep few on tiny: 0 of 1 experiments finished" in said
    assert "taylor_T0_30_words_max31: method.ratio = 0.3 cannot be reached under limits.max_rate: at most 0.0" in said


def test_settings_that_no_name_can_say_run_as_well(own):
    sweep = FEW | {"product": {}, "variants": [{"limits": {"protect": [-1]}}]}
    change_configuration(own, sweeps={"few": sweep})
    name = "taylor_T0_20_words__limits.protect--1"
    assert own.jobs(f"results/tiny/{name}") == CHEAP
    own.run(f"results/tiny/{name}/analysis/plan.json")
    layers = json.loads((own.folder / f"results/tiny/{name}/analysis/pruning_summary.json").read_text())["layers"]
    assert layers[-1]["rate"] == 0


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("sweep_fex", "unknown sweep 'fex'; did you mean 'few'"),
        ("results/tiny/comparison/fex", "unknown sweep 'fex'; did you mean 'few'"),
        ("results/tinny/comparison/few", "unknown model 'tinny'; did you mean 'tiny'"),
        ("results/tiny/comparison/few/comparison.cvs", "will hold no 'comparison.cvs'; did you mean 'comparison.csv'"),
    ],
)
def test_an_unknown_sweep_gets_the_nearest_name(swept, target, said):
    done = swept[0].run("--dry-run", target, check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
