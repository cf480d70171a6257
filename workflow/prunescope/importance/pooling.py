"""Statistics of several parameters as those of all their values together."""

from collections.abc import Mapping

import numpy as np


def pool(statistics: Mapping[str, np.ndarray], sizes: np.ndarray | None) -> dict[str, float]:
    """Return mean, std (population), L2 norm, max and min over parameters, each averaged over the batches.

    Args:
        statistics: by name, float64 ``[parameters, batches]``; a result whose statistics are not there is left out.
        sizes: ``[parameters, batches]``, how many values each statistic is of. None: unknown; all parameters count the
            same.
    """
    weights = np.ones_like(next(iter(statistics.values()))) if sizes is None else sizes
    total = weights.sum(axis=0)
    pooled: dict[str, np.ndarray] = {}
    if "mean" in statistics:
        pooled["mean"] = (statistics["mean"] * weights).sum(axis=0) / total
    if "norm" in statistics:
        pooled["norm"] = np.sqrt((statistics["norm"] ** 2).sum(axis=0))
    if {"mean", "std"} <= statistics.keys():
        squares = (statistics["std"] ** 2 + statistics["mean"] ** 2) * weights
        if sizes is not None and "norm" in statistics:
            squares = statistics["norm"] ** 2
        variance = squares.sum(axis=0) / total - pooled["mean"] ** 2
        pooled["std"] = np.sqrt(np.maximum(variance, 0))
    if "max" in statistics:
        pooled["max"] = statistics["max"].max(axis=0)
    if "min" in statistics:
        pooled["min"] = statistics["min"].min(axis=0)
    return {name: float(value.mean()) for name, value in pooled.items()}
