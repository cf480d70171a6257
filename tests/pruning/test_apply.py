"""Plans that a person has edited."""

import json

import pandas as pd
import pytest

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.sections import Limits, Method
from prunescope.errors import DataError
from prunescope.importance.decision import layer_rates
from prunescope.pruning.apply import apply_plan, record_plan
from toy import facts_of, run_importance, table_of


def test_a_plan_edited_by_hand_gives_its_rates(tmp_path):
    facts = facts_of(layers=3, channels=40)
    folder = run_importance(tmp_path, facts, Method(ratio=0.2), Limits(protect=(2,), width_multiple=1))
    plan = json.loads(folder.plan.path.read_text())
    assert plan["removed"]["2"]["mlp"] == ""
    plan["removed"]["2"]["mlp"] = "0-8, 19"
    (tmp_path / "edited.json").write_text(json.dumps(plan))
    by_hand = ExperimentFolder(tmp_path / "y")
    record_plan(facts, tmp_path / "edited.json", folder, by_hand)

    before, after = folder.summary.read(), by_hand.summary.read()
    assert after.model_fields_set == before.model_fields_set
    assert after.layers[:2] == before.layers[:2]
    assert after.layers[2].mlp_rate == 10 / 40
    assert after.removed_parameters == before.removed_parameters + 10 * 3
    assert after.target_ratio == after.ratio_of_total
    assert after.experiment == "y"
    table = by_hand.table.read()
    assert table[table.removed].query("layer == 2 and block == 'mlp'").group.tolist() == [*range(9), 19]
    rates = layer_rates(PruningPlan.read(by_hand.plan.path, facts))
    pd.testing.assert_frame_equal(by_hand.rates.read(), rates)
    assert by_hand.named(ExperimentFolder.record, step="importance").exists()


def test_a_plan_can_be_applied_without_a_table_but_not_with_anothers(tmp_path):
    facts = facts_of(layers=3, channels=40)
    folder, alone = run_importance(tmp_path, facts, Method(ratio=0.2)), ExperimentFolder(tmp_path / "alone")
    folder.table.path.unlink()
    record_plan(facts, folder.plan.path, folder, alone)
    left = {file.path for file in (alone.plan, alone.summary, alone.rates)}
    assert set(alone.plan.path.parent.iterdir()) == left
    folder.table.write(table_of(facts_of(layers=3, channels=41)))
    with pytest.raises(DataError, match="not the importance table of 'toy'"):
        record_plan(facts, folder.plan.path, folder, ExperimentFolder(tmp_path / "wrong"))


def test_an_experiment_is_not_written_over_by_a_plan(tmp_path):
    folder = ExperimentFolder(tmp_path)
    with pytest.raises(DataError, match="would be lost; give a new folder"):
        apply_plan(folder.plan.path, folder, folder)
