"""Bootstrap intervals: against scipy's, and whether they cover what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from prunescope.evaluation.bootstrap import DRAWS, SEED, exponential, interval, overall_interval, ratio_interval


def windows(count, seed, spread=0.3):
    """Mean losses that differ between windows, over windows of uneven length."""
    random = np.random.default_rng(seed)
    tokens = random.integers(40, 60, count)
    return tokens * random.gamma((3 / spread) ** 2, spread**2 / 3, count), tokens


def test_the_interval_is_that_of_a_naive_bootstrap():
    sums, tokens = windows(80, seed=1)
    found = stats.bootstrap(
        (sums, tokens),
        lambda losses, counts: math.exp(losses.sum() / counts.sum()),
        paired=True,
        vectorized=False,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    low, high = interval(sums, tokens)
    assert low < math.exp(sums.sum() / tokens.sum()) < high
    assert (low, high) == pytest.approx((found.low, found.high), rel=0.005)
    assert interval(sums, tokens) == (low, high)  # seeded


def test_it_covers_the_truth_as_often_as_it_says():
    """Subsamples of a large population of windows: the perplexity of all of them is the truth."""
    sums, tokens = windows(20_000, seed=3)
    truth = math.exp(sums.sum() / tokens.sum())
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        chosen = random.choice(len(sums), 60, replace=False)
        low, high = interval(sums[chosen], tokens[chosen])
        covered += low <= truth <= high
    assert 0.91 <= covered / 200 <= 0.98


def test_the_paired_interval_is_tighter_and_covers_the_ratio():
    sums, tokens = windows(60, seed=5)
    pruned = sums + tokens * np.random.default_rng(6).normal(0.5, 0.05, len(sums))
    low, high = ratio_interval(pruned, sums, tokens)
    assert low < math.exp(0.5) < high
    one, other = interval(pruned, tokens), interval(sums, tokens)
    assert high / low < 1.05 < one[1] / one[0] < (one[1] / other[0]) / (one[0] / other[1])


def test_one_window_has_no_interval_and_no_loss_overflows():
    assert interval(np.array([3.0]), np.array([1])) is None
    assert math.isfinite(exponential(1e6))
    assert all(map(math.isfinite, interval(np.array([1e6, 2e6]), np.array([1, 1]))))


def test_the_geometric_mean_of_one_text_is_its_ratio():
    one, other = np.random.default_rng(1).normal(3, 0.2, (2, 9))
    assert overall_interval([one - other]) == pytest.approx(ratio_interval(one, other, np.ones(9)))


def test_the_windows_of_each_text_are_drawn_on_their_own():
    differences = [np.array([0.1, 0.3, -0.2]), np.array([0.5, 0.4])]
    random, ratios = np.random.default_rng(SEED), []
    for _ in range(DRAWS):
        means = [
            np.mean([text[window] for window in random.integers(len(text), size=len(text))]) for text in differences
        ]
        ratios.append(math.sqrt(math.exp(means[0]) * math.exp(means[1])))
    low, high = np.quantile(np.log(ratios), [0.025, 0.975])
    assert overall_interval(differences) == pytest.approx((math.exp(low), math.exp(high)))
    assert overall_interval([*differences, np.array([0.2])]) is None
