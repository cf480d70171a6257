"""Settings that changed since an experiment was made are named: Snakemake may have forgotten them."""

from pathlib import Path

import pytest

from prunescope.config.patches import flatten
from prunescope.config.resolve import load_config
from prunescope.files import write_json
from prunescope.runs.preflight import changed
from prunescope.steps.registry import Registry

CONFIG = load_config(Path(__file__).parents[2] / "config/config.yaml")


def planned(**sections):
    config = CONFIG.model_copy(
        update={name: getattr(CONFIG, name).model_copy(update=told) for name, told in sections.items()}
    )
    return Registry(config).experiment("SmolLM2-135M", "taylor_T0_20_wiki")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """An experiment as its page step describes it."""
    monkeypatch.chdir(tmp_path)
    told = planned().tasks["page"].spec.model_dump(mode="json", exclude={"inputs"})
    params = {"dataset": told["dataset"]} | flatten(told["settings"])
    write_json(Path(planned().directory, "experiment.json"), told | {"params": params})


def test_what_is_as_it_was_made_is_not_mentioned(made):
    assert changed(planned()) is None


def test_what_is_not_there_was_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert changed(planned()) is None


def test_other_settings_are_named_with_the_way_out(made):
    said = changed(planned(limits={"max_rate": 0.5}, diagnosis={"extreme_rate": 0.4}))
    assert said.startswith("SmolLM2-135M / taylor_T0_20_wiki was made with other settings (")
    assert "limits.max_rate" in said and "diagnosis.extreme_rate" in said and "method" not in said
    assert said.endswith("--forcerun importance")
