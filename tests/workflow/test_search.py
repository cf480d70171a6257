"""An experiment whose settings are found, through the whole pipeline."""

import json
from pathlib import Path

import pytest
import yaml

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.reporting.page import refresh_page
from prunescope.tracking.gather import gather

EXPERIMENT = "results/tiny/auto_20_words"


def test_settings_that_were_found_decide_all_that_follows(project, monkeypatch):
    config = project.folder / "config/config.yaml"
    told = yaml.safe_load(config.read_text()) | {"search": {"trials": 20, "samples": 4}, "trial": {"samples": 2}}
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
