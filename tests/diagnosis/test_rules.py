"""Every rule of the diagnosis, with numbers on both sides of its threshold."""

import math

import numpy as np
import pytest

from diagnosis_data import make_evidence, not_finite, with_values
from prunescope.artifacts.summary import BoundLimit, NegativeDelta
from prunescope.config.sections import Diagnosis
from prunescope.criteria import WITHOUT_GRADIENT
from prunescope.diagnosis.evidence import Texts
from prunescope.diagnosis.findings import diagnose
from prunescope.diagnosis.rules import RULES
from prunescope.diagnosis.situation import Context

CONTEXT = Context("Mistral-7B-v0.3", "taylor_T0_20_c4")


def findings(evidence, context=CONTEXT, **thresholds):
    report = diagnose(evidence, Diagnosis(**thresholds), context).report
    return {finding.code: finding for finding in report.diagnosis}


def test_nothing_wrong_is_said_once():
    found = findings(make_evidence(rate=np.linspace(0.1, 0.3, 30), importance=np.linspace(0.3, 0.1, 30)))
    assert list(found) == ["no_problem"]
    assert found["no_problem"].severity == "info"
    assert found["no_problem"].remedy is None
    assert found["no_problem"].evidence["spearman"] == pytest.approx(-1.0)


def test_no_problem_is_not_said_beside_a_problem():
    assert "no_problem" not in findings(make_evidence(mlp=with_values({2: 0.99})))


@pytest.mark.parametrize(("ratio", "fires"), [(1000.0, False), (1001.0, True)])
def test_scale_gap(ratio, fires):
    mean = np.geomspace(1.0, ratio, 30)
    assert ("gradient_scale_gap" in findings(make_evidence(mean=mean))) is fires


def test_a_gap_says_which_end_is_the_far_one():
    low = findings(make_evidence(mean=with_values({3: 1e-4}, 1.0)))["gradient_scale_gap"]
    assert (low.evidence["kind"], low.layers) == ("vanishing", (0, 1, 3))
    assert low.evidence["below_median"] == pytest.approx(1e4)
    assert "at the low end the gradient vanishes" in low.description
    high = findings(make_evidence(mean=with_values({28: 1e4}, 1.0)))["gradient_scale_gap"]
    assert high.evidence["kind"] == "exploding"
    assert 28 in high.layers
    assert "at the high end the gradient explodes" in high.description


def test_a_gap_of_the_norm_alone_is_told_as_such():
    found = findings(make_evidence(norm=with_values({7: 2000.0}, 1.0)))["gradient_scale_gap"]
    assert (found.evidence["by"], found.evidence["mean_ratio"], found.evidence["norm_ratio"]) == ("norm", 1.0, 2000.0)
    assert "differs by a factor of 1 and its norm by 2,000" in found.description


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
    assert finding.remedy.experiment == "taylor_T0_20_c4_fp32"
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
        assert "layer 8 loses 96 % and layer 9 only 5 %" in found["rate_spread"].description


def test_whole_layers_are_extreme_by_intention():
    gone = with_values(dict.fromkeys(range(12, 24), 1.0), 0.0)
    evidence = make_evidence(attention=gone, mlp=gone)
    codes = {"many_extreme_layers", "rate_spread"}
    assert codes <= findings(evidence).keys()
    assert not codes & findings(evidence, Context("m", "shortgpt_T0_20_c4")).keys()


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
        bound=(BoundLimit(limit="limits.max_rate", blocks=["3.mlp", "2.attention", "3.attention"]),),
        negative_deltas=(NegativeDelta(layer=7, block="attention", delta=-0.003),),
    )
    found = findings(evidence)
    assert found["limit_bound"].layers == (2, 3)
    assert "in 3 of 60 blocks (layers 2, 3)" in found["limit_bound"].description
    assert found["negative_removal_delta"].layers == (7,)
    assert "attention of layer 7: -0.003" in found["negative_removal_delta"].description
    assert {finding.severity for finding in found.values()} == {"info"}


@pytest.mark.parametrize(("ratio", "fires"), [(1000.0, False), (1001.0, True)])
def test_score_gap_between_blocks(ratio, fires):
    scores = {"0.attention": ratio, "0.mlp": 5.0, "3.mlp": 1.0, "7.mlp": 0.0}
    found = findings(make_evidence(scores=scores))
    assert ("score_scale_gap" in found) is fires
    if fires:
        gap = found["score_scale_gap"]
        assert (gap.severity, gap.layers) == ("high", (3,))
        assert gap.evidence["highest_blocks"] == ["0.attention"]
        assert "lowest in MLP of layer 3, highest in attention of layer 0" in gap.description
        assert "Without any score: MLP of layer 7" in gap.description
        assert [remedy.kind for remedy in gap.remedies] == ["share", "block_mean", "normalize_log", "cap_rates"]


@pytest.mark.parametrize(("attention", "fires"), [(0.59, False), (0.61, True)])
def test_attention_against_mlp(attention, fires):
    found = findings(make_evidence(attention=attention, mlp=0.2))
    assert ("block_imbalance" in found) is fires
    if fires:
        assert found["block_imbalance"].severity == "high"
        assert "attention loses 61 % and MLP 20 %: a difference of 41 points" in found["block_imbalance"].description
        assert found["block_imbalance"].remedy.experiment == "taylor_T0_20_c4_share"


@pytest.mark.parametrize(("count", "code", "severity"), [(30, "limit_bound", "info"), (31, "limit_saturation", "high")])
def test_saturation_at_a_limit(count, code, severity):
    blocks = tuple(f"{layer % 30}.{'mlp' if layer < 30 else 'attention'}" for layer in range(count))
    found = findings(make_evidence(bound=(BoundLimit(limit="limits.max_rate", blocks=blocks),)))
    assert found[code].severity == severity
    assert len({"limit_bound", "limit_saturation"} & set(found)) == 1
    assert (found[code].remedy is not None) is (severity == "high")


@pytest.mark.parametrize("limit", ["limits.attention.max_rate", "limits.mlp.min_rate"])
def test_a_limit_of_one_kind_counts_among_the_blocks_of_that_kind(limit):
    blocks = tuple(f"{layer}.{limit.split('.')[1]}" for layer in range(16))
    found = findings(make_evidence(bound=(BoundLimit(limit=limit, blocks=blocks),)))["limit_saturation"]
    assert (found.evidence["count"], found.evidence["of"]) == (16, 30)


def test_what_is_for_few_layers_does_not_saturate():
    blocks = tuple(f"{layer}.{kind}" for layer in range(5) for kind in ("attention", "mlp"))
    assert "limit_bound" in findings(make_evidence(bound=(BoundLimit(limit="limits.early_layers", blocks=blocks),)))


def test_collapsed_blocks_are_told():
    found = findings(make_evidence(collapsed=("3.mlp", "4.mlp", "7.attention")))["collapsed_blocks"]
    assert (found.severity, found.layers) == ("info", (3, 4, 7))
    assert (
        "3 blocks that would have kept next to nothing: MLP of layers 3, 4; attention of layer 7" in found.description
    )


@pytest.mark.parametrize(("count", "severity"), [(0, None), (14, "info"), (16, "high")])
def test_too_few_samples(count, severity):
    # High where most of the 30 layers are below the noise.
    stability = {layer: 0.4 if layer < count else 0.95 for layer in range(30)} | {30: None}
    found = findings(make_evidence(stability=stability)).get("few_samples")
    assert (found and found.severity) == severity
    if found:
        assert (found.evidence["of"], found.evidence["samples"]) == (30, 32)
        assert found.remedy.experiment == "taylor_T0_20_c4_n256"
        median = "0.95" if severity == "info" else "0.40"
        assert f": 0.40; median over the layers {median})" in found.description


def test_a_shared_source_is_told_and_what_else_there_is():
    def with_texts(**leakage):
        return findings(make_evidence(texts=Texts(("wiki",), tuple(leakage), leakage)))

    found = with_texts(wikipedia="source", hansard="none")["shared_source"]
    assert (found.severity, found.evidence) == ("info", {"texts": ["wikipedia"], "others": ["hansard"]})
    assert "No document is in both" in found.description
    assert "the perplexity on hansard" in found.recommendation
    alone = with_texts(wiki="source")["shared_source"]
    assert "Evaluate on another text" in alone.recommendation
    assert "shared_source" not in with_texts(hansard="none")
    same = with_texts(ptb="documents")
    assert same["shared_documents"].severity == "high" and "shared_source" not in same


def test_statistics_and_rates_of_different_layers_are_judged_apart():
    evidence = make_evidence(mean=math.nan, mlp=with_values({2: 0.99}))
    found = findings(evidence)
    assert "early_layers_extreme" in found
    assert "gradient_scale_gap" not in found


def test_every_rule_has_a_docstring():
    assert all(rule.look.__doc__ for rule in RULES.values())


def test_gradients_explain_nothing_where_none_decides():
    evidence = make_evidence(mean=with_values({3: 0.0, 7: 1e6}, 1.0), mlp=with_values({2: 0.99}))
    of_gradients = {"vanishing_gradient", "gradient_scale_gap", "gradient_spike", "gradient_valley"}
    assert of_gradients & set(findings(evidence))
    for criterion in WITHOUT_GRADIENT:
        found = findings(evidence, Context("m", f"{criterion}_T0_20_c4"))
        assert not of_gradients & set(found)
        assert "early_layers_extreme" in found


def test_importance_that_differs_by_rounding_has_no_rank():
    importance = 1 + 1e-16 * np.arange(30)
    found = findings(make_evidence(rate=np.linspace(0.1, 0.3, 30), importance=importance))
    assert found["no_problem"].evidence["spearman"] is None
