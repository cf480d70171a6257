"""Every rule of the diagnosis, with numbers on both sides of its threshold."""

import math

import numpy as np
import pytest
from diagnosis_data import make_evidence, not_finite, with_values

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.findings import diagnose
from prunescope.diagnosis.inputs import Bound, NegativeDelta
from prunescope.diagnosis.remedies import Context
from prunescope.diagnosis.rules import RULES
from prunescope.diagnosis.texts import ENGLISH

CONTEXT = Context("Mistral-7B-v0.3", "taylor_T0_20_c4")


def findings(evidence, context=CONTEXT, **thresholds):
    report = diagnose(evidence, Diagnosis(**thresholds), context)
    return {finding.code: finding for finding in report.findings}


def mistral(rates=(0.99, 0.99, 0.99), mean_ratio=2847.3):
    """The published case: 32 layers, MLP rates of layers 2, 3, 4, gradients that grow with depth."""
    mean = np.geomspace(1.0, mean_ratio, 32)
    mlp = with_values(dict(zip((2, 3, 4), rates, strict=True)), default=0.15, count=32)
    return make_evidence(mean=mean, mlp=mlp, rate=np.array(mlp) * 0.8, importance=-np.array(mlp), count=32)


def test_the_known_case_before():
    found = findings(mistral())
    assert list(found)[:2] == ["early_layers_extreme", "gradient_scale_gap"]
    early, gap = found["early_layers_extreme"], found["gradient_scale_gap"]
    assert (early.severity, early.layers) == ("critical", (2, 3, 4))
    assert early.evidence["losses"]["mlp"] == {"2": 0.99, "3": 0.99, "4": 0.99}
    assert "layers 2, 3, 4 lose 99 % of their MLP" in early.description
    assert early.remedy.experiment == "taylor_T0_20_c4_early30"
    assert early.remedy.command == "snakemake --cores all results/Mistral-7B-v0.3/taylor_T0_20_c4_early30"
    assert "taylor_T1_tau0_20_c4" in early.recommendation
    assert (gap.severity, gap.layers) == ("high", (0, 1, 2))
    assert gap.evidence["mean_ratio"] == pytest.approx(2847.3)
    assert "2,847" in gap.description
    assert gap.remedy.experiment == "taylor_T1_tau0_20_c4"


def test_the_known_case_after_block_correction():
    context = Context("Mistral-7B-v0.3", "taylor_T1_tau0_20_c4")
    early = findings(mistral(rates=(0.75, 0.485, 0.485)), context)["early_layers_extreme"]
    assert (early.layers, early.evidence["count"]) == ((2,), 1)
    assert "layer 2 loses 75 % of its MLP" in early.description
    assert "T = 1" not in early.recommendation


def test_nothing_wrong_is_said_once():
    found = findings(make_evidence(rate=np.linspace(0.1, 0.3, 30), importance=np.linspace(0.3, 0.1, 30)))
    assert list(found) == ["no_problem"]
    assert found["no_problem"].severity == "info"
    assert found["no_problem"].remedy is None
    assert found["no_problem"].evidence["spearman"] == pytest.approx(-1.0)


def test_no_problem_is_not_said_beside_a_problem():
    assert "no_problem" not in findings(mistral())


@pytest.mark.parametrize(("ratio", "fires"), [(1000.0, False), (1001.0, True)])
def test_scale_gap(ratio, fires):
    mean = np.geomspace(1.0, ratio, 30)
    assert ("gradient_scale_gap" in findings(make_evidence(mean=mean))) is fires


def test_vanishing_gradient_takes_the_place_of_a_ratio():
    found = findings(make_evidence(mean=with_values({5: 0.0}), norm=with_values({5: 0.0})))
    assert found["vanishing_gradient"].layers == (5,)
    assert found["vanishing_gradient"].severity == "high"
    assert "gradient_scale_gap" not in found


@pytest.mark.parametrize(("count", "fires"), [(6, False), (7, True)])
def test_share_of_extreme_layers(count, fires):
    # 6 of 30 is 20 %, which is not above the threshold
    mlp = with_values(dict.fromkeys(range(10, 10 + count), 0.6))
    found = findings(make_evidence(mlp=mlp))
    assert ("many_extreme_layers" in found) is fires
    if fires:
        finding = found["many_extreme_layers"]
        assert finding.layers == tuple(range(10, 17))
        assert "layers 10-16 lose 60 % of their MLP" in finding.description
        assert finding.remedy.experiment == "taylor_T0_20_c4_max50"


@pytest.mark.parametrize(("layer", "fires"), [(4, True), (5, False)])
def test_early_layers(layer, fires):
    found = findings(make_evidence(attention=with_values({layer: 0.51})))
    assert ("early_layers_extreme" in found) is fires


def test_early_layers_say_attention_and_mlp_apart():
    evidence = make_evidence(
        attention=with_values({1: 1.0, 2: 0.6}), mlp=with_values({2: 0.7}), rate=with_values({2: 0.67})
    )
    description = findings(evidence)["early_layers_extreme"].description
    assert "layers 1, 2 lose 60-100 % of their attention; layer 2 loses 70 % of its MLP" in description
    assert "parameters" not in description


def test_only_a_total_rate_is_said_as_such():
    evidence = make_evidence(attention=math.nan, mlp=math.nan, rate=with_values({0: 0.996}))
    assert "layer 0 loses 99.6 % of its parameters" in findings(evidence)["early_layers_extreme"].description


def test_non_finite_statistics_are_critical():
    finding = findings(not_finite(make_evidence()))["non_finite_gradient"]
    assert (finding.severity, finding.layers) == ("critical", (3,))
    assert finding.evidence["parameters"] == ["model.layers.3.weight"]
    assert finding.remedy.patch == {"gradients": {"dtype": "float32"}}
    assert (finding.remedy.experiment, finding.remedy.command) == (None, None)
    assert "non_finite_gradient" not in findings(make_evidence())


def test_spikes_and_valleys():
    mean = 10.0 ** (0.1 * np.sin(np.arange(30)))
    mean[12], mean[20] = 1e6, 1e-6
    found = findings(make_evidence(mean=mean))
    assert found["gradient_spike"].layers == (12,)
    assert found["gradient_valley"].layers == (20,)
    assert found["gradient_valley"].evidence["z"]["20"] < -3.5
    mean[12] = mean[20] = 1.0
    assert not {"gradient_spike", "gradient_valley"} & set(findings(make_evidence(mean=mean)))


@pytest.mark.parametrize(("highest", "fires"), [(0.94, False), (0.96, True)])
def test_spread_of_rates(highest, fires):
    found = findings(make_evidence(mlp=with_values({8: highest, 9: 0.05})))
    assert ("rate_spread" in found) is fires
    if fires:
        assert found["rate_spread"].layers == (8, 9)
        assert "layer 8 loses 96 % and layer 9 5 %" in found["rate_spread"].description


def test_rank_correlation_of_importance_and_rate():
    rate = [0.1, 0.2, 0.3, 0.4]
    inverted = findings(make_evidence(rate=rate, importance=[2, 1, 4, 3], count=4))["importance_rate_inverted"]
    assert inverted.severity == "high"
    assert inverted.evidence["spearman"] == pytest.approx(0.6)
    # ranks 2 4 1 3 against 1 2 3 4: 1 - 6 * 10 / 60 = 0
    weak = findings(make_evidence(rate=rate, importance=[2, 4, 1, 3], count=4))["importance_rate_weak"]
    assert weak.severity == "info"
    assert weak.evidence["spearman"] == pytest.approx(0.0)
    clear = findings(make_evidence(rate=rate, importance=[4, 3, 2, 1], count=4))
    assert list(clear) == ["no_problem"]


def test_limits_that_bound_and_deltas_below_zero_are_told():
    evidence = make_evidence(
        bound=(Bound("limits.max_rate", ("3.mlp", "2.attention", "3.attention")),),
        negative_deltas=(NegativeDelta(7, "attention", -0.003),),
    )
    found = findings(evidence)
    assert found["limit_bound"].layers == (2, 3)
    assert "in 3 blocks (layers 2, 3)" in found["limit_bound"].description
    assert found["negative_removal_delta"].layers == (7,)
    assert "attention of layer 7: -0.003" in found["negative_removal_delta"].description
    assert {finding.severity for finding in found.values()} == {"info"}


def test_statistics_and_rates_of_different_layers_are_judged_apart():
    evidence = make_evidence(mean=math.nan, mlp=with_values({2: 0.99}))
    found = findings(evidence)
    assert "early_layers_extreme" in found
    assert "gradient_scale_gap" not in found


def test_every_rule_has_a_docstring_and_every_template_is_complete():
    assert all(rule.__doc__ for rule in RULES)
    assert all(text.issue and text.description and text.recommendation for text in ENGLISH.findings.values())
