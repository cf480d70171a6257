"""The benchmark of the diagnosis on a tiny project: a case, what its report recommends, and what that does."""

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from verdicts import Case, judged

from diagnosis import Bench
from prunescope.config.resolve import load_config
from prunescope.steps.registry import Registry
from prunescope.trial.measured import Meter


@pytest.fixture
def bench(finished, tmp_path, monkeypatch):
    """In a copy of a finished project, at some more of whose settings a model can be looked at."""
    folder = finished.copy(tmp_path / "project").folder
    monkeypatch.chdir(folder)
    config = yaml.safe_load(Path("config/config.yaml").read_text())
    config["evaluation"]["protocols"] = ["w16"]
    Path("config/config.yaml").write_text(yaml.safe_dump(config))
    # Of random weights, it predicts worse than a blind guess, and so nothing would be recommended.
    monkeypatch.setattr(Meter, "vocabulary", 10**6)
    return Bench(Registry(load_config()), tmp_path / "kept")


def test_a_case_is_judged_by_what_it_recommends(bench):
    row = bench.judge(Case("tiny", "magnitude_T0_20_words"))
    assert row.own in row.tested and row.dense in row.tested and set(row.candidates) <= row.tested.keys()
    assert row.trial is not None and row.trial.plan in row.tested
    (one,) = judged([row])
    assert row.best <= one.own and one.known <= row.best
    assert row.findings.keys() == row.without.keys()
    again = bench.judge(row.case)
    assert again.tested == row.tested and again.seconds < row.seconds
