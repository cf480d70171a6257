"""Two names of one experiment: said before the second is made."""

from pathlib import Path

import pytest

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.resolve import essential, load_config
from prunescope.files import write_text
from prunescope.runs.preflight import twin
from prunescope.steps.registry import Registry

CONFIG = load_config(Path(__file__).parents[2] / "config/config.yaml")
MODEL = "SmolLM2-135M"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Registry(CONFIG)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("taylor_T0_tau0_20_wiki", "taylor_T0_20_wiki"),
        ("taylor_T0_tauinf_20_wiki", "taylor_T0_20_wiki"),
        ("taylor_T1_tau0_20_wiki_share", "taylor_T0_20_wiki_share"),
        ("taylor_T1_tauinf_20_wiki_share", "taylor_T0_tauinf_20_wiki_share"),
        ("taylor_T1_tauinf_20_wiki", "taylor_T1_tauinf_20_wiki"),
        ("taylor_T1_tau0_20_wiki", "taylor_T1_20_wiki"),
    ],
)
def test_what_decides_nothing_is_no_part_of_a_name(registry, name, short):
    assert str(essential(registry.experiment(MODEL, name).experiment)) == short
    # Said of names alone, and true of what selection is told but for these two numbers.
    told = [registry.experiment(MODEL, one).tasks["importance"].spec.model_dump() for one in (name, short)]
    for spec in told:
        del spec["experiment"], spec["method"]["temperature"], spec["method"]["tau"]
    assert told[0] == told[1]


def test_a_second_name_is_said_while_the_first_is_there(registry):
    planned = registry.experiment(MODEL, "taylor_T1_tau0_20_wiki_share")
    assert twin(planned, CONFIG) is None
    other = ExperimentFolder.of(MODEL, "taylor_T0_20_wiki_share")
    for entry in (other.identity, other.summary, other.perplexity):
        write_text(entry.path, "")
    assert twin(planned, CONFIG) == (
        f"results/{MODEL}/taylor_T1_tau0_20_wiki_share is the same experiment as taylor_T0_20_wiki_share, which is "
        "there: T decides nothing under `share`"
    )
    assert twin(registry.experiment(MODEL, "taylor_T1_tau0_20_wiki"), CONFIG) is None
    assert twin(registry.experiment(MODEL, "taylor_T1_tauinf_20_wiki_share"), CONFIG) is None
