"""Spearman's rank correlation, in numpy alone."""

import math

import numpy as np


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of `x` and `y`, shape ``[n]``; ties share the mean rank.

    None with fewer than three values, or when one side is constant.
    """
    if len(x) < 3:
        return None
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(x), average_ranks(y)))
    size = math.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else None


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of `values`, shape ``[n]``, from 1; ties get their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
