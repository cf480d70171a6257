"""An experiment whose settings are found, through the whole pipeline."""

import json
from pathlib import Path

import pytest
import yaml

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.reporting.page import refresh_page
from prunescope.tracking.gather import gather

EXPERIMENT = "results/tiny/auto_20_words"
FEW = {"search": {"trials": 20, "samples": 4}, "trial": {"samples": 2}}


def test_settings_that_were_found_decide_all_that_follows(project, monkeypatch):
    config = project.folder / "config/config.yaml"
    told = yaml.safe_load(config.read_text()) | FEW
    config.write_text(yaml.safe_dump(told))
    done = project.run(EXPERIMENT)
    assert "search" in done.stderr
    assert project.jobs(EXPERIMENT) == {}
    folder = ExperimentFolder(project.folder / EXPERIMENT)
    found, trials = folder.search.read(), folder.trials.read()
    assert found.trials == 20 and found.texts["words"].windows == 4
    assert trials.own.plan == found.winner.plan
    assert found.method.criterion != "auto"
    for settings in (json.loads(folder.identity.path.read_text())["settings"], yaml.safe_load(folder.config.read())):
        assert settings["method"] == found.method.model_dump(mode="json")
        assert settings["corrections"] == found.corrections.model_dump(mode="json")
    page = folder.page.read()
    assert "## Search" in page and f"The same by name: `{found.winner.experiment}`" in page
    assert "visualization/search.png" in page
    assert (folder.path / "visualization/search.png").exists()
    assert "On windows that the search did not use" in page
    monkeypatch.chdir(project.folder)
    tracked = gather(Path(EXPERIMENT))
    assert tracked.tags["criterion"] == tracked.params["method.criterion"] == found.method.criterion
    assert tracked.metrics["search/kl"] == pytest.approx(found.winner.kl, rel=1e-5)
    assert "analysis/search.json" in tracked.artifacts
    refresh_page(ExperimentFolder(Path(EXPERIMENT)))  # as exports do
    assert folder.page.read() == page
    plain = f"results/tiny/{found.winner.experiment}"
    project.run(f"{plain}/analysis/plan.json")
    same = json.loads((project.folder / plain / "analysis/plan.json").read_text())
    assert same["removed"] == json.loads(folder.plan.path.read_text())["removed"]


def test_settings_of_a_refitted_experiment_are_found_and_tried_refitted(project):
    config = project.folder / "config/config.yaml"
    told = FEW | {"repair": {"refit": {"tokens": 640, "seq_len": 16}}, "shards": 2}
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | told))
    target = f"{EXPERIMENT}_refit"
    project.run(target)
    assert project.jobs(target) == {}
    folder = ExperimentFolder(project.folder / target)
    found, trials, page = folder.search.read(), folder.trials.read(), folder.page.read()
    assert found.winner.ranked_kl and found.winner.ranked_kl != found.winner.kl
    assert "_refit" in found.winner.experiment
    assert trials.own.plan == found.winner.plan and trials.ridge == 0.1
    assert folder.named(ExperimentFolder.record, step="trial").read().tags["shards"] == "2"
    assert "the best three, and the best start, were then refitted as a checkpoint is" in page
    assert "| KL | KL ranked by |" in page
    assert not folder.confirming.path.exists()
    others = project.jobs("results/tiny/gate_T0_20_words_refit/analysis/trials.json")
    assert "trial" in others and "gram" not in others  # it is shared
