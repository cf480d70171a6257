"""Corrections of the saliency before it becomes a score, all off by default.

They act on saliency *per parameter*: an attention group has some hundred times the parameters of a channel, so to
rescale plain sums and divide by the cost would give all attention away. Order: clip, normalise, mean, powers; the
weights of depth and of attention multiply the score.
"""

from collections.abc import Callable
from itertools import groupby

import numpy as np

from prunescope.artifacts.facts import BlockFacts
from prunescope.config.sections import Corrections

ZSCORE_FLOOR = 1e-3
"""What the lowest group of a scope gets under `zscore`, in standard deviations: positive, to keep the order."""


def correct(blocks: tuple[BlockFacts, ...], saliency: list[np.ndarray], corrections: Corrections) -> list[np.ndarray]:
    """Return the corrected saliency per parameter, float64 ``[groups]`` a block; plain ``saliency / cost`` when off.

    Args:
        saliency: >= 0, one array a block, in the order of `blocks`.
    """
    density = [values.astype(np.float64) / block.cost for block, values in zip(blocks, saliency, strict=True)]
    if corrections.clip or corrections.normalize:
        scopes = _scopes(blocks, density, corrections.scope)
        density = [values for scope in scopes for values in _rescale_together(scope, corrections)]
    if corrections.mean:
        # A block without any saliency stays at 0: the measurement says that nothing in it matters.
        density = [values / (values.mean() or 1) for values in density]
    if (corrections.power, corrections.block_power) != (1, 1):
        density = raise_to_powers(density, corrections.power, corrections.block_power)
    return density


def raise_to_powers(density: list[np.ndarray], power: float, block_power: float) -> list[np.ndarray]:
    """Return ``M (m / M)^q (x / m)^p`` for the values x of each block.

    m is the block's mean and M the mean of those, so that no power leaves the range of a float and the scale stays.

    Args:
        density: >= 0, one array a block. power: p. block_power: q.
    """
    means = np.array([values.mean() for values in density])
    scale = means.mean() or 1.0
    blocks = zip(density, means, strict=True)
    # A block without any saliency stays at 0, whatever the power of its mean.
    return [scale * (mean / scale) ** block_power * (values / (mean or 1)) ** power for values, mean in blocks]


def depth_weight(layer: np.ndarray, layers: int, weight: float) -> np.ndarray:
    """Return ``1 + (1 - l / L) w``: early layers count more."""
    return 1 + (1 - layer / layers) * weight


def _scopes(blocks: tuple[BlockFacts, ...], density: list[np.ndarray], scope: str) -> list[list[np.ndarray]]:
    """Group the blocks' arrays by what is rescaled together."""
    key = (lambda pair: (pair[0].layer, pair[0].block)) if scope == "block" else (lambda pair: pair[0].layer)
    return [[values for _, values in pairs] for _, pairs in groupby(zip(blocks, density, strict=True), key=key)]


def _rescale_together(scope: list[np.ndarray], corrections: Corrections) -> list[np.ndarray]:
    values = np.concatenate(scope)
    if corrections.clip:
        values = np.clip(values, *np.percentile(values, corrections.clip))
    if corrections.normalize:
        values = NORMALIZE[corrections.normalize](values)
    return np.split(values, np.cumsum([len(part) for part in scope])[:-1])


def log_scale(values: np.ndarray) -> np.ndarray:
    """Return ``ln(1 + x / mean)``; zeros stay zeros."""
    return np.log1p(values / (values.mean() or 1))


def sqrt_scale(values: np.ndarray) -> np.ndarray:
    """Return ``sqrt(x / mean)``: a root of plain saliency would keep every order, between blocks too."""
    return np.sqrt(values / (values.mean() or 1))


def minmax_scale(values: np.ndarray) -> np.ndarray:
    """Return ``(x - min) / (max - min)``; 1 where all are equal, since nothing says that any of them should go."""
    low, high = values.min(), values.max()
    return np.ones_like(values) if low == high else (values - low) / (high - low)


def zscore_scale(values: np.ndarray) -> np.ndarray:
    """Return ``(x - mean) / std``, shifted so that the lowest is `ZSCORE_FLOOR`; 1 where all are equal."""
    low, high = values.min(), values.max()
    if low == high:
        return np.ones_like(values)
    unit = values / high  # squares of tiny saliencies would underflow
    return (unit - unit.min()) / unit.std() + ZSCORE_FLOOR


NORMALIZE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": log_scale,
    "sqrt": sqrt_scale,
    "minmax": minmax_scale,
    "zscore": zscore_scale,
}
