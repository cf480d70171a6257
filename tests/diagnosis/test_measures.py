"""The numbers behind the rules, by hand and against scipy."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from diagnosis_data import make_evidence, with_values
from prunescope.artifacts.diagnosis import ComparedStability
from prunescope.diagnosis.evidence import COUNTS, block_scores
from prunescope.diagnosis.measures import (
    extreme_layers,
    measure,
    overall_rate,
    rate_spread,
    robust_z,
    scale,
    spearman,
    spikes,
    unstable_layers,
)


def test_robust_z_by_hand():
    # median 3, |x - 3| = 2 1 0 1 97, MAD 1
    expected = 0.6745 * np.array([-2.0, -1.0, 0.0, 1.0, 97.0])
    assert robust_z(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == pytest.approx(expected)


def test_robust_z_when_most_values_are_equal():
    # MAD 0; mean |x - 1| = 4 / 5 = 0.8
    assert robust_z(np.array([1.0, 1.0, 1.0, 1.0, 5.0])) == pytest.approx([0, 0, 0, 0, 4 / (1.2533 * 0.8)])
    assert robust_z(np.ones(4)) == pytest.approx(np.zeros(4))


def test_spikes_are_found_on_the_log_scale_and_zeros_take_no_part():
    # log10: 0 1 2 3 -9 (and no number); median 1, deviations -1 0 1 2 -10, MAD 1
    means = pd.Series([1.0, 10.0, 100.0, 1000.0, 1e-9, 0.0, math.nan])
    (valley,) = spikes(means, threshold=3.5)
    assert valley.layer == 4
    assert valley.z == pytest.approx(0.6745 * -10)
    assert spikes(means, threshold=6.8) == ()
    assert spikes(pd.Series([0.0, math.nan]), threshold=1.0) == ()


@pytest.mark.parametrize("levels", [3, 7, 10_000])
def test_spearman_equals_scipy_with_and_without_ties(levels):
    random = np.random.default_rng(levels)
    x, y = random.integers(0, levels, (2, 40)).astype(float)
    assert spearman(pd.Series(x), pd.Series(y)) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


def test_spearman_by_hand_and_undefined():
    x = pd.Series([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, -(x**3)) == pytest.approx(-1.0)
    # ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15)
    assert spearman(x, pd.Series([20.0, 10.0, 40.0, 30.0])) == pytest.approx(0.6)
    assert spearman(x, pd.Series([1.0, 1.0, 1.0, 1.0])) is None
    assert spearman(x, pd.Series([1.0, 2.0, math.nan, math.nan])) is None


def test_scale_names_the_extremes_and_has_no_ratio_over_zero():
    found = scale(pd.Series([4.0, 1.0, 2.0, 8.0, 16.0, 3.0, math.nan]))
    assert (found.low, found.high, found.ratio) == (1.0, 16.0, 16.0)
    assert (found.lowest, found.highest) == ((1, 2, 5), (0, 3, 4))
    assert scale(pd.Series([0.0, 1.0])).ratio is None
    assert scale(pd.Series([5e-324, 1e300])).ratio is None
    assert scale(pd.Series([math.nan])) is None


def test_a_layer_is_extreme_by_attention_mlp_or_total():
    evidence = make_evidence(
        attention=with_values({1: 0.51}, count=4),
        mlp=with_values({2: 0.99}, count=4),
        rate=with_values({2: 0.7, 3: 0.5}, count=4),
        count=4,
    )
    by_attention, by_mlp = extreme_layers(evidence.layers, 0.5)
    assert (by_attention.layer, by_attention.above) == (1, {"attention": 0.51})
    assert (by_mlp.layer, by_mlp.above) == (2, {"mlp": 0.99, "total": 0.7})


def test_spread_and_totals(thresholds):
    evidence = make_evidence(mlp=with_values({3: 0.95, 9: 0.05}))
    spread = rate_spread(evidence.layers, "mlp")
    assert (spread.highest_layer, spread.lowest_layer) == (3, 9)
    assert spread.value == pytest.approx(0.9)
    measures = measure(evidence, thresholds)
    # MLP: 28 x 0.2 + 0.95 + 0.05 = 6.6 of 30
    assert (measures.attention_rate, measures.mlp_rate) == pytest.approx((0.2, 0.22))
    assert measures.rate == pytest.approx(0.21)


def test_without_sizes_layers_weigh_the_same_if_all_are_known():
    evidence = make_evidence(attention=[0.1, 0.3], mlp=[0.2, math.nan], rate=[0.1, 0.5], count=2)
    evidence.layers[list(COUNTS)] = math.nan
    assert overall_rate(evidence.layers, "attention") == pytest.approx(0.2)
    assert overall_rate(evidence.layers, "mlp") is None
    assert overall_rate(evidence.layers, "total") == pytest.approx(0.3)


def test_the_far_end_of_a_range():
    # median 10: 10 times above the low end, 100 times below the high end
    assert not scale(pd.Series([1.0, 10.0, 1000.0])).vanishing
    assert scale(pd.Series([1.0, 100.0, 1000.0])).vanishing
    assert scale(pd.Series([2.0, 1.0, 8.0, 4.0], index=["10.mlp", "9.mlp", "0.mlp", "1.mlp"])).lowest == (
        "10.mlp", "9.mlp",
    )  # fmt: skip


def test_block_scores_are_means():
    table = pd.DataFrame({"layer": [0, 0, 0, 1], "block": ["attention", "mlp", "mlp", "mlp"], "score": [5.0, 1, 3, 4]})
    assert block_scores(table).to_dict() == {"0.attention": 5.0, "0.mlp": 2.0, "1.mlp": 4.0}


def test_zero_scores_take_no_part_in_the_scale(thresholds):
    measures = measure(make_evidence(scores={"0.mlp": 0.0, "1.mlp": 1.0, "2.mlp": 4.0}), thresholds)
    assert measures.scores.ratio == 4.0
    assert measures.unscored == ("0.mlp",)


def test_unstable_layers_are_those_below_the_threshold():
    stability = ComparedStability(criterion="gate", samples=8, layers={0: 0.9, 1: 0.8, 2: 0.79, 3: None})
    assert unstable_layers(stability, 0.8) == (2,)
    assert unstable_layers(None, 0.8) == ()


def test_unknown_rates_are_left_out(thresholds):
    evidence = make_evidence(attention=math.nan, rate=math.nan, mlp=with_values({2: 0.99}))
    evidence.layers[["attention_params", "mlp_params"]] = math.nan
    measures = measure(evidence, thresholds)
    assert [spread.block for spread in measures.spreads] == ["mlp"]
    assert [extreme.layer for extreme in measures.extreme] == [2]
    assert measures.rate is None
