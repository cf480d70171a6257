"""The numbers that the rules judge."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunescope.artifacts.diagnosis import ComparedStability, Spike
from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.ranks import rank_correlation

RATE_OF = {"attention": "attention_rate", "mlp": "mlp_rate", "total": "rate"}
NAMED = 3
ROUNDING = 1e-9


@dataclass(frozen=True)
class Scale:
    """Range of a value over layers (or blocks); names up to three `lowest` and `highest` of them."""

    low: float
    high: float
    median: float
    lowest: tuple[int | str, ...]
    highest: tuple[int | str, ...]

    @property
    def ratio(self) -> float | None:
        """Return high / low, or None when it is not a number."""
        ratio = self.high / self.low if self.low > 0 else math.inf
        return ratio if math.isfinite(ratio) else None

    @property
    def vanishing(self) -> bool:
        """Whether the low end is as far from the median as the high end, or farther (by factors)."""
        return self.median * self.median >= self.low * self.high


@dataclass(frozen=True)
class Extreme:
    """A layer above the extreme rate; `above` holds the offending rates: attention, mlp, total."""

    layer: int
    above: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """Difference between the highest and the lowest rate of one block type (or total) over the layers."""

    block: str
    highest_layer: int
    highest_rate: float
    lowest_layer: int
    lowest_rate: float

    @property
    def value(self) -> float:
        return self.highest_rate - self.lowest_rate


@dataclass(frozen=True)
class Measures:
    """Everything measured on one experiment; None where the evidence does not say.

    Attributes:
        mean, norm: scale of the layers' mean |g| and gradient norm. vanishing: layers whose mean is zero.
        extreme: layers above the extreme rate. spikes: peaks and valleys in the gradient profile.
        spearman: rank correlation of importance and total rate over the layers.
        spreads: of attention, MLP and total rates.
        attention_rate, mlp_rate, rate: over all layers, weighted by parameters.
        scores: scale of the blocks' mean scores above zero. unscored: blocks whose mean score is zero.
        unstable: the layers whose scores agree too little between halves of the calibration set.
    """

    mean: Scale | None
    norm: Scale | None
    vanishing: tuple[int, ...]
    extreme: tuple[Extreme, ...]
    spikes: tuple[Spike, ...]
    spearman: float | None
    spreads: tuple[Spread, ...]
    attention_rate: float | None
    mlp_rate: float | None
    rate: float | None
    scores: Scale | None
    unscored: tuple[str, ...]
    unstable: tuple[int, ...]


def measure(evidence: Evidence, thresholds: Diagnosis) -> Measures:
    """Measure all that the rules need."""
    layers, scores = evidence.layers, evidence.scores
    return Measures(
        mean=scale(layers["mean"]),
        norm=scale(layers["norm"]),
        vanishing=tuple(int(layer) for layer in layers.index[layers["mean"] == 0]),
        extreme=extreme_layers(layers, thresholds.extreme_rate),
        spikes=spikes(layers["mean"], thresholds.spike_z),
        spearman=spearman(layers["importance"], layers["rate"]),
        spreads=tuple(spread for block in RATE_OF if (spread := rate_spread(layers, block))),
        attention_rate=overall_rate(layers, "attention"),
        mlp_rate=overall_rate(layers, "mlp"),
        rate=overall_rate(layers, "total"),
        scores=scale(scores[scores > 0]),
        unscored=tuple(scores.index[scores == 0]),
        unstable=unstable_layers(evidence.stability, thresholds.stability),
    )


def scale(values: pd.Series) -> Scale | None:
    """Return the range of `values` (index: layer or block), NaN left out; None when nothing is left."""
    known = values.dropna()
    if known.empty:
        return None
    ordered = known.sort_values(kind="stable")
    named = min(NAMED, max(1, len(ordered) // 2))
    lowest, highest = set(ordered.index[:named]), set(ordered.index[-named:])
    return Scale(
        low=float(ordered.iloc[0]),
        high=float(ordered.iloc[-1]),
        median=float(ordered.median()),
        lowest=tuple(name for name in known.index.tolist() if name in lowest),
        highest=tuple(name for name in known.index.tolist() if name in highest),
    )


def extreme_layers(layers: pd.DataFrame, threshold: float) -> tuple[Extreme, ...]:
    """Return the layers of which the attention, MLP or total rate is above `threshold`."""
    found = []
    for layer, row in layers.iterrows():
        above = {block: float(row[column]) for block, column in RATE_OF.items() if row[column] > threshold}
        if above:
            found.append(Extreme(int(layer), above))
    return tuple(found)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return the robust z-scores ``0.6745 (x - median) / MAD`` of `values`, shape [n], all finite.

    MAD is the median absolute deviation from the median. Where it is zero (more than half of the values
    are equal), ``(x - median) / (1.2533 mean|x - median|)`` takes its place; equal values score 0.
    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), who propose a threshold of 3.5.
    """
    deviation = values - np.median(values)
    mad = np.median(np.abs(deviation))
    if mad > 0:
        return 0.6745 * deviation / mad
    mean = np.mean(np.abs(deviation))
    return deviation / (1.2533 * mean) if mean > 0 else np.zeros_like(deviation)


def spikes(means: pd.Series, threshold: float) -> tuple[Spike, ...]:
    """Return the layers whose log10 gradient mean has a robust z-score beyond `threshold` in size.

    Zero and missing means take no part.
    """
    positive = means[means > 0]
    if positive.empty:
        return ()
    scores = robust_z(np.log10(positive.to_numpy()))
    return tuple(Spike(layer=layer, z=z) for layer, z in zip(positive.index, scores, strict=True) if abs(z) > threshold)


def spearman(x: pd.Series, y: pd.Series) -> float | None:
    """Return the rank correlation of `x` and `y` over the layers that both have.

    None with fewer than three such layers, or when one of them is constant.
    """
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    if len(both) < 3 or not (varies(both["x"]) and varies(both["y"])):
        return None
    return rank_correlation(both["x"].to_numpy(), both["y"].to_numpy())


def varies(values: pd.Series) -> bool:
    """Whether finite `values` differ by more than rounding: means of normalised scores are equal but for that."""
    return bool(values.max() - values.min() > ROUNDING * values.abs().max())


def rate_spread(layers: pd.DataFrame, block: str) -> Spread | None:
    """Return the spread of the rates of `block` (attention, mlp or total) over the layers."""
    rates = layers[RATE_OF[block]].dropna()
    if rates.empty:
        return None
    return Spread(
        block=block,
        highest_layer=int(rates.idxmax()),
        highest_rate=float(rates.max()),
        lowest_layer=int(rates.idxmin()),
        lowest_rate=float(rates.min()),
    )


def overall_rate(layers: pd.DataFrame, block: str) -> float | None:
    """Return the rate of `block` (attention, mlp or total) over all layers, weighted by parameters.

    Where sizes are unknown the layers weigh the same, if the rate of each is known; else None.
    """
    parts = ["attention", "mlp"] if block == "total" else [block]
    removed = layers[[f"{part}_removed" for part in parts]].to_numpy().sum()
    params = layers[[f"{part}_params" for part in parts]].to_numpy().sum()
    if params > 0:
        return float(removed / params)
    rates = layers[RATE_OF[block]]
    return float(rates.mean()) if rates.notna().all() else None


def unstable_layers(stability: ComparedStability | None, threshold: float) -> tuple[int, ...]:
    """Return the layers whose rank correlation between halves of the calibration set is below `threshold`."""
    if stability is None:
        return ()
    return tuple(sorted(layer for layer, rho in stability.layers.items() if rho is not None and rho < threshold))
