"""How much a mean token loss owes to the choice of windows: bootstrap intervals.

Percentile intervals of B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Windows are
drawn, not tokens, since the losses of neighbouring tokens are not independent.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from numpy import ndarray

from prunescope.artifacts.perplexity import Interval

LEVEL = 0.95
DRAWS = 2000
SEED = 0
AT_ONCE = 1 << 20
"""Windows that are drawn in one call: 8 MiB of their numbers."""
LARGEST_EXPONENT = 700.0
"""exp overflows beyond; the loss of a destroyed model still says how bad it is."""


def interval(sums: ndarray, tokens: ndarray) -> Interval | None:
    """Return the interval of the perplexity exp(sum of losses / number of tokens).

    Args:
        sums: float64 ``[windows]``, summed losses in nats. tokens: int64 ``[windows]``, scored tokens.

    Returns:
        (low, high), or None for fewer than two windows, which cannot tell.
    """
    if len(sums) < 2:
        return None
    means = [sums.take(chosen).sum(axis=1) / tokens.take(chosen).sum(axis=1) for (chosen,) in _draws([len(sums)])]
    low, high = _quantiles(np.concatenate(means))
    return exponential(low), exponential(high)


def ratio_interval(sums: ndarray, reference: ndarray, tokens: ndarray) -> Interval | None:
    """Return the interval of the perplexity of one model divided by that of another on the same windows.

    Each draw takes the same windows for both, so what makes a window hard for either model cancels.

    Args:
        sums, reference: float64 ``[windows]``, summed losses of the two models. tokens: int64 ``[windows]``.
    """
    return interval(sums - reference, tokens)


def overall_interval(differences: Sequence[ndarray]) -> Interval | None:
    """Return the interval of the geometric mean, over some texts, of such ratios; of one text it is its own.

    Args:
        differences: see `mean_interval`; mean loss of one model minus that of the other, in nats.
    """
    found = mean_interval(differences)
    return found and (exponential(found[0]), exponential(found[1]))


def mean_interval(differences: Sequence[ndarray]) -> Interval | None:
    """Return the interval of the mean, over some texts, of the mean of each; None where one has a single window.

    The windows of each text are drawn on their own.

    Args:
        differences: of each text float64 ``[windows]``.
    """
    if min(map(len, differences)) < 2:
        return None
    means: list[float] = []
    for chosen in _draws([*map(len, differences)]):
        texts = [found.take(rows).mean(axis=1) for found, rows in zip(differences, chosen, strict=True)]
        means.extend(map(fmean, zip(*texts, strict=True)))
    return _quantiles(means)


def _draws(sizes: Sequence[int]) -> Iterator[list[ndarray]]:
    """Yield the windows of some draws at a time, int64 ``[draws, size]`` per text, as if each draw were made alone.

    Args:
        sizes: how many windows each text has.
    """
    random, highest, ends = np.random.default_rng(SEED), np.repeat(sizes, sizes), np.cumsum(sizes)
    together = max(1, AT_ONCE // len(highest))
    for begin in range(0, DRAWS, together):
        drawn = random.integers(highest, size=(min(together, DRAWS - begin), len(highest)))
        yield np.split(drawn, ends[:-1], axis=1)


def _quantiles(means: Sequence[float] | ndarray) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def exponential(mean: float) -> float:
    """Return exp of a mean loss, the largest one that a float holds at most."""
    return math.exp(min(mean, LARGEST_EXPONENT))
