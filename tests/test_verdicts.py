"""The benchmark of the diagnosis: what it counts, and the damaged models and foreign texts that it is about."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import damage
import foreign
from verdicts import Advice, Case, Row, Rows, as_markdown, judged

OWN, BEST, NEXT = "own", "best", "next"


def row(experiment="e", own=100.0, best=50.0, follows=BEST, **changes):
    """A case whose perplexity is `own`; the report with the trial leads to the plan `follows`, the other to nothing."""
    tested = {plan: {"wiki": value, "hansard": value} for plan, value in ((OWN, own), (BEST, best), ("dense", 20.0))}
    told = {
        "case": Case("m", experiment),
        "ratio": 0.2,
        "seconds": 1.0,
        "without": {"few_samples": "high"},
        "findings": {},
        "rules": None,
        "trial": Advice("better", "measured", 0.5, 0.4, 0.6, plan=follows),
        "verdict": "better",
        "tested": tested,
        "candidates": [OWN, BEST],
        "dense": "dense",
    }
    return Row(**told | changes)


def counted(*rows):
    lines = as_markdown(rows).splitlines()[2:6]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_summary_counts_what_the_first_recommendation_did():
    far = row("far", follows=NEXT)
    far.tested[NEXT] = {"wiki": 60.0, "hansard": 60.0}
    harmed = row("harmed", follows=NEXT, rules=Advice("r", "cap_rates", plan=BEST))
    harmed.tested[NEXT] = {"wiki": 120.0, "hansard": 120.0}
    healthy = row("healthy", own=52.0)
    alarmed = row("alarmed", own=51.0, follows=NEXT, findings={"rate_spread": "critical", "limit_bound": "info"})
    alarmed.tested[NEXT] = {"wiki": 70.0, "hansard": 70.0}
    assert counted(row(), far, harmed, healthy, alarmed) == [
        ["sick (3): the first recommendation lowers the perplexity", "2 (67 %)", "1 (33 %)"],
        ["... and is at most 3 % above the best candidate", "1 (33 %)", "1 (33 %)"],
        ["healthy (2): a finding is high or critical", "1 (50 %)", "2 (100 %)"],
        ["... the first recommendation raises the perplexity", "1 (50 %)", "0 (0 %)"],
    ]


def test_the_best_known_cut_may_be_of_another_case():
    sick, best = judged([row(own=100.0, best=99.0), row("other", own=80.0, best=75.0)])
    assert sick.known == pytest.approx(75.0) and sick.sick and best.sick
    (alone,) = judged([row(own=100.0, best=99.0)])
    assert not alone.sick


def test_a_plan_that_removes_less_is_no_cut_of_this_ratio():
    lower = Advice("lower", "lower_ratio", plan=NEXT, less=True)
    found = row(rules=lower)
    found.tested[NEXT] = {"wiki": 25.0, "hansard": 25.0}
    (one,) = judged([found])
    assert (one.known, one.after(False)) == pytest.approx((50.0, 25.0))
    assert not one.helped(False) and not one.close(False)


def test_what_cannot_be_run_did_not_help():
    (one,) = judged([row(trial=Advice("x", "cap_rates", error="cannot be reached"))])
    assert not one.helped(True) and not one.close(True) and not one.harmed(True)


def test_the_newest_row_of_a_case_counts(tmp_path):
    rows = Rows(tmp_path / "below/rows.jsonl")
    first = row()
    for one in (first, row("other"), replace(first, seconds=2.0)):
        rows.add(one)
    assert {one.case.experiment: one.seconds for one in rows.read()} == {"e": 2.0, "other": 1.0}
    assert rows.read()[1] == row("other")


# --- the models and texts -------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    random = torch.Generator().manual_seed(1)
    names = ("model.layers.3.mlp.down_proj", "model.layers.13.mlp.down_proj", "lm_head")
    save_file({f"{name}.weight": torch.randn(8, 6, generator=random) for name in names}, folder / "model.safetensors")
    return folder


def test_only_the_weights_meant_are_damaged(checkpoint, tmp_path):
    before = load_file(checkpoint / "model.safetensors")
    changed = "model.layers.3.mlp.down_proj.weight"
    for number, (change, expected) in enumerate(
        {
            damage.scaled(0.1): lambda old, new: torch.equal(new, old * 0.1),
            damage.permuted: lambda old, new: torch.equal(new.flatten().sort()[0], old.flatten().sort()[0]),
            damage.noisy: lambda old, new: (new - old).std() / old.std() == pytest.approx(1, rel=0.5),
        }.items()
    ):
        target = tmp_path / str(number)
        damage.damage(checkpoint, target, damage.down_projections(3), change)
        after = load_file(target / "model.safetensors")
        assert (target / "config.json").exists() and not torch.equal(after[changed], before[changed])
        assert expected(before[changed], after[changed])
        assert all(torch.equal(after[name], before[name]) for name in before if name != changed)


def test_damage_to_nothing_is_an_error(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="no weight whose name ends in"):
        damage.damage(checkpoint, tmp_path / "target", damage.down_projections(7), damage.scaled(2))


def test_code_is_taken_out_of_a_wheel(tmp_path):
    with ZipFile(tmp_path / "gensim-4.4.0.whl", "w") as wheel:
        wheel.writestr("gensim/long.py", "x = 1\n" * 200)
        wheel.writestr("gensim/short.py", "x = 1\n")
        wheel.writestr("gensim/data.txt", "y" * 2000)
    foreign.write(foreign.code(tmp_path), tmp_path / "below/code.jsonl")
    (line,) = (tmp_path / "below/code.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == "x = 1\n" * 200
