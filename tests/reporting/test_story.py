"""The ten lines at the end of a run say what the files of the experiment say."""

from types import SimpleNamespace

import pytest
from folders import write

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import geomean
from prunescope.config.names import parse_name
from prunescope.reporting.story import REPAIRS, ending, overview, repaired_name, story


@pytest.fixture
def two(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    one = write(tmp_path / "results", "one", {"a w8": 41.0, "b w8": 10.0})
    other = write(tmp_path / "results", "another_with_a_longer_name", {"a w8": 15.0, "b w8": 15.0})
    return [ExperimentFolder(folder) for folder in (one, other)]


def test_the_story_of_one(two):
    said = story(two[0])
    title, *lines = said.splitlines()
    assert title == "M / one"
    assert lines[0].split() == [
        "removed",
        "20",
        "%",
        "of",
        "all",
        "parameters",
        "(1.0",
        "k",
        "->",
        "800):",
        "50",
        "%",
        "of",
        "attention,",
        "12",
        "%",
        "of",
    ]
    assert "a w8 10.0 -> 41.0 (x 4.1)" in said and "b w8 10.0 -> 10.0 (x 1.00)" in said
    assert "critical: said; 2 more findings" in said
    assert all(len(line) <= 80 for line in lines if "prunescope diagnose" not in line)
    assert ending(two[:1], []) == said


def test_before_the_cut_there_is_no_perplexity(two):
    two[0].perplexity.path.unlink()
    assert "perplexity" not in story(two[0])


def test_several_stand_below_each_other_the_best_first(two):
    assert geomean(two[0].final_perplexity.ratio) == pytest.approx((4.1 * 1) ** 0.5)
    lines = overview(two).splitlines()
    assert [line.split()[0] for line in lines] == ["M", "another_with_a_longer_name", "one"]
    assert lines[2].split() == ["one", "20.0%", "x", "2.0", "a", "w8", "10.0", "->", "41.0", "(x", "4.1)"]
    assert ending(two, []) == overview(two)


def test_what_is_not_finished_is_named(two):
    two[1].identity.path.unlink()
    assert overview(two).splitlines()[2].split()[:2] == ["another_with_a_longer_name", "unfinished:"]


def told(verdict, experiment, ratio=0.9):
    best = SimpleNamespace(experiment=experiment, command="snakemake", patch={}, ratio=ratio)
    trial = SimpleNamespace(verdict=verdict, best=best, more_text=None)
    return SimpleNamespace(diagnosis=[], checks=SimpleNamespace(trial=trial))


def test_what_repairs_the_best_setting_is_named_unless_it_is_repaired(tmp_path):
    folder = ExperimentFolder(tmp_path / "results/M/taylor_T0_20_wiki_recover")
    assert repaired_name(folder, told("better", "gate_T0_20_wiki_max50")) == "gate_T0_20_wiki_max50_refit_scales"
    assert repaired_name(folder, told("same", None)) == "taylor_T0_20_wiki_recover_refit_scales"
    assert repaired_name(folder, told("unclear", None)) == "taylor_T0_20_wiki_recover_refit_scales"
    unclear = told("unclear", "gate_T0_20_wiki_max50")
    assert repaired_name(folder, unclear) == "gate_T0_20_wiki_max50_refit_scales"
    no_gain = told("unclear", "gate_T0_20_wiki_max50", ratio=0.996)
    assert repaired_name(folder, no_gain) == "taylor_T0_20_wiki_recover_refit_scales"
    assert repaired_name(ExperimentFolder(tmp_path / "results/M/guarded"), told("same", None)) is None
    folder.fitted.path.mkdir(parents=True)
    assert repaired_name(folder, told("better", "gate_T0_20_wiki_max50")) is None


def test_the_name_that_repairs_is_one_that_can_be_asked_for():
    _, patch = parse_name("gate_T0_20_wiki_max50_refit_scales", ["wiki"])
    assert patch["repair"] == REPAIRS["repair"]
