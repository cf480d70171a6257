"""However an experiment or a file of one is typed, it is that experiment; what names none gets a sentence."""

from pathlib import Path

import pytest

from prunescope.config.resolve import load_config
from prunescope.errors import ConfigError
from prunescope.steps.registry import Registry

CONFIG = load_config(Path(__file__).parents[2] / "config/config.yaml")
MODEL, NAME = "SmolLM2-135M", "taylor_T0_20_wiki"
SPELLINGS = (
    "results/{}",
    "./results/{}",
    "{}",
    "./{}",
    "{here}/results/{}",
    "results//{}",
    "{here}/../{folder}/results/{}",
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_experiment_in_any_spelling(spelling, end, here):
    typed = spelling.format(f"{MODEL}/{NAME}", here=here, folder=here.name) + end
    (target,) = Registry(CONFIG).targets([typed])
    assert target.typed == typed and target.whole
    assert target.files == target.planned.files() and target.planned.directory == f"results/{MODEL}/{NAME}"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_file_in_any_spelling_is_that_file(spelling, here):
    typed = spelling.format(f"{MODEL}/{NAME}", here=here, folder=here.name) + "/README.md"
    (target,) = Registry(CONFIG).targets([typed])
    path = f"results/{MODEL}/{NAME}/README.md"
    assert target.file == "README.md" and target.files == ([] if typed == path else [path])


def test_a_link_into_the_project(here, tmp_path_factory):
    link = tmp_path_factory.mktemp("elsewhere") / "link"
    link.symlink_to(here)
    (here / "results").mkdir()
    (target,) = Registry(CONFIG).targets([f"{link}/results/{MODEL}/{NAME}"])
    assert target.planned.directory == f"results/{MODEL}/{NAME}"


def test_a_comparison_without_results():
    (target,) = Registry(CONFIG).sweep_targets([f"{MODEL}/comparison/criteria/comparison.md"])
    assert target.files == [f"results/{MODEL}/comparison/criteria/comparison.md"]
    assert Registry(CONFIG).targets([f"{MODEL}/comparison/criteria"]) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (f"{MODEL}/taylor_T0_20_wikki", "unknown dataset 'wikki'.*did you mean 'taylor_T0_20_wiki'"),
        (f"SmolLM-135M/{NAME}", "unknown model 'SmolLM-135M'; did you mean 'SmolLM2-135M'"),
        (f"{MODEL}/{NAME}/REDME.md", "will hold no 'REDME.md'; did you mean 'README.md'"),
        (NAME, f"'{NAME}' names no model; expected results/.*/{NAME}"),
    ],
)
def test_what_names_none_gets_a_sentence(typed, said):
    with pytest.raises(ConfigError, match=said):
        Registry(CONFIG).targets([typed])


def test_values_of_options_are_no_targets():
    assert (
        Registry(CONFIG).targets(["--workflow-profile", "profiles/slurm", "--directory", "/tmp/x", "all", "-n"]) == []
    )


def test_a_listed_experiment_that_does_not_fit_stops_only_who_asks_for_it():
    registry = Registry(CONFIG.model_copy(update={"targets": (f"{MODEL}/{NAME}", f"{MODEL}/{NAME}_s99999")}))
    with pytest.raises(ConfigError, match="longer than the model's window"):
        registry.listed(needed=True)
    assert [planned.experiment.name for planned in registry.listed(needed=False)] == [NAME]
