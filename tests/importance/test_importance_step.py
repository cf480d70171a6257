"""The importance step from files to files."""

import numpy as np
import pytest

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder
from prunescope.config.sections import Limits, Method
from prunescope.errors import ConfigError
from prunescope.importance.decision import scores_of
from toy import REMOVAL, facts_of, run_importance


def test_the_step_shares_the_prior_and_reports_what_collapsed(tmp_path):
    facts = facts_of(layers=3, channels=40)
    limits = Limits(collapse_below=0.9, width_multiple=1)
    folder = run_importance(tmp_path, facts, Method(combine="share", ratio=0.4), limits, REMOVAL)
    summary, table = folder.summary.read(), folder.table.read()
    whole = [f"{row.layer}.{kind}" for row in summary.layers for kind in KINDS if getattr(row, f"{kind}_rate") == 1]
    assert summary.collapsed and set(summary.collapsed) <= set(whole)
    shared = table[(table.layer == 0) & (table.block == "mlp")]
    assert (shared.score * shared.cost).sum() == pytest.approx(2.0)
    cost = (table.cost * table.removed).sum() + 2 * len(whole)
    assert summary.removed_parameters == cost


def test_the_step_cuts_whole_layers_for_shortgpt(tmp_path):
    folder = run_importance(tmp_path, facts_of(layers=5, channels=40), Method(criterion="shortgpt", ratio=0.4))
    summary = folder.summary.read()
    assert {row.rate for row in summary.layers} == {0, 1}
    assert len(summary.layers_dropped) == 2


def test_the_step_keeps_the_statistics_with_the_experiment_and_records_what_goes(tmp_path):
    folder, gradients = run_importance(tmp_path, facts_of(), Method(ratio=0.2)), GradientsFolder(tmp_path / "gradients")
    assert folder.statistics.path.read_bytes() == gradients.statistics.path.read_bytes()
    assert folder.stability.path.read_bytes() == gradients.stability.path.read_bytes()
    record = folder.named(ExperimentFolder.record, step="importance")
    assert record.read().metrics["prune/removed_parameters"] == folder.summary.read().removed_parameters


@pytest.mark.parametrize("method", [Method(combine="share"), Method(temperature=1.0)])
def test_the_step_asks_for_the_prior_that_it_needs(tmp_path, method):
    with pytest.raises(ConfigError, match="needs the prior: the spec has no key of the removal step"):
        run_importance(tmp_path, facts_of(), method)


def test_the_step_says_that_a_criterion_was_not_scored(tmp_path):
    gradients = GradientsFolder(tmp_path)
    gradients.saliency.write({"gate/0.mlp": np.ones(3, dtype=np.float32)})
    with pytest.raises(ConfigError, match=r"has no 'taylor': the gradient pass ran in a mode .* taylor_stream"):
        scores_of(gradients, "taylor")
