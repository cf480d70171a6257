"""The importance step from files to files, and plans made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.sections import Corrections, Limits, Method
from prunescope.errors import ConfigError, DataError
from prunescope.importance.outputs import _scores_of, write_importance
from prunescope.importance.summary import layer_rates
from prunescope.pruning.apply import write_applied
from prunescope.steps.specs import ImportanceSpec
from toy import FREE, REMOVAL, facts_of, random_saliency, table_of


def run_importance(tmp_path, facts, method, limits=FREE, removal=None):
    save_file({f"{method.criterion}/{name}": s for name, s in random_saliency(facts).items()}, tmp_path / "saliency")
    spec = ImportanceSpec(
        model="toy", experiment="x", gradients="g", method=method, corrections=Corrections(), limits=limits
    )  # fmt: skip
    write_importance(spec, facts, tmp_path / "saliency", removal, tmp_path / "run")
    return json.loads((tmp_path / "run/analysis/pruning_summary.json").read_text())


def test_the_step_shares_the_prior_and_reports_what_collapsed(tmp_path):
    facts = facts_of(layers=3, channels=40)
    removal = tmp_path / "removal.json"
    removal.write_text(json.dumps({kind: dict(enumerate(losses.tolist())) for kind, losses in REMOVAL.items()}))
    limits = Limits(collapse_below=0.9, width_multiple=1)
    summary = run_importance(tmp_path, facts, Method(combine="share", ratio=0.4), limits, removal)
    whole = [f"{row['layer']}.{kind}" for row in summary["layers"] for kind in KINDS if row[f"{kind}_rate"] == 1]
    assert summary["collapsed"] and set(summary["collapsed"]) <= set(whole)
    table = pd.read_parquet(tmp_path / "run/analysis/importance_table.parquet")
    shared = table[(table.layer == 0) & (table.block == "mlp")]
    assert (shared.score * shared.cost).sum() == pytest.approx(2.0)
    cost = (table.cost * table.removed).sum() + 2 * len(whole)
    assert summary["removed_parameters"] == cost


def test_the_step_cuts_whole_layers_for_shortgpt(tmp_path):
    facts = facts_of(layers=5, channels=40)
    summary = run_importance(tmp_path, facts, Method(criterion="shortgpt", ratio=0.4))
    assert {row["rate"] for row in summary["layers"]} == {0, 1}
    assert len(summary["layers_dropped"]) == 2


@pytest.mark.parametrize("method", [Method(combine="share"), Method(temperature=1.0)])
def test_the_step_asks_for_the_prior_that_it_needs(tmp_path, method):
    with pytest.raises(ConfigError, match="needs the prior: pass the block_importance"):
        run_importance(tmp_path, facts_of(), method)


def test_the_step_says_that_a_criterion_was_not_scored(tmp_path):
    save_file({"gate/0.mlp": np.ones(3, dtype=np.float32)}, tmp_path / "saliency.safetensors")
    with pytest.raises(ConfigError, match=r"has no 'taylor': the gradient pass ran in a mode .* taylor_stream"):
        _scores_of(tmp_path / "saliency.safetensors", "taylor")


def test_a_plan_edited_by_hand_gives_its_rates(tmp_path):
    facts = facts_of(layers=3, channels=40)
    before = run_importance(tmp_path, facts, Method(ratio=0.2), Limits(protect=(2,), width_multiple=1))
    analysis = tmp_path / "run/analysis"
    plan = json.loads((analysis / "plan.json").read_text())
    assert plan["removed"]["2"]["mlp"] == ""
    plan["removed"]["2"]["mlp"] = "0-8, 19"
    (tmp_path / "edited.json").write_text(json.dumps(plan))
    write_applied(facts, tmp_path / "edited.json", analysis / "importance_table.parquet", tmp_path / "by-hand", "y")

    after = json.loads((tmp_path / "by-hand/analysis/pruning_summary.json").read_text())
    assert after.keys() == before.keys()
    assert after["layers"][:2] == before["layers"][:2]
    assert after["layers"][2]["mlp_rate"] == 10 / 40
    assert after["removed_parameters"] == before["removed_parameters"] + 10 * 3
    assert after["target_ratio"] == after["ratio_of_total"]
    assert after["experiment"] == "y"
    table = pd.read_parquet(tmp_path / "by-hand/analysis/importance_table.parquet")
    assert table[table.removed].query("layer == 2 and block == 'mlp'").group.tolist() == [*range(9), 19]
    rates = pd.read_csv(tmp_path / "by-hand/analysis/pruning_summary.csv")
    pd.testing.assert_frame_equal(
        rates, layer_rates(PruningPlan.read(tmp_path / "by-hand/analysis/plan.json", facts))
    )  # fmt: skip
    assert (tmp_path / "by-hand/records/importance.json").is_file()


def test_a_plan_can_be_applied_without_a_table_but_not_with_anothers(tmp_path):
    facts = facts_of(layers=3, channels=40)
    run_importance(tmp_path, facts, Method(ratio=0.2))
    plan = tmp_path / "run/analysis/plan.json"
    write_applied(facts, plan, None, tmp_path / "alone", "y")
    assert {file.name for file in (tmp_path / "alone/analysis").iterdir()} == {
        "plan.json", "pruning_summary.json", "pruning_summary.csv"
    }  # fmt: skip
    table_of(facts_of(layers=3, channels=41)).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not the importance table of 'toy'"):
        write_applied(facts, plan, tmp_path / "other.parquet", tmp_path / "wrong", "y")
