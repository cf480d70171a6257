"""Rules on gradients, scores and rates that are not on one scale."""

from collections.abc import Iterator
from typing import Any

from prunescope.diagnosis import changes
from prunescope.diagnosis.evidence import block_layers
from prunescope.diagnosis.measures import Scale
from prunescope.diagnosis.rules.base import Observation, rule
from prunescope.diagnosis.situation import Situation


@rule(
    "high",
    changes.block_correction,
    changes.shorter_windows,
    changes.normalize_log,
    changes.cap_rates,
    changes.other_text,
    changes.share,
    of_gradients=True,
    of_one_ranking=True,
)
def gradient_scale_gap(now: Situation) -> Iterator[Observation]:
    """Gradients of the layers too far apart for one global threshold, by their mean or else by their norm."""
    scales, threshold = {"mean": now.measures.mean, "norm": now.measures.norm}, now.thresholds.scale_ratio
    for by, found in scales.items():
        if found and found.ratio is not None and found.ratio > threshold:
            numbers = {f"{name}_ratio": scale.ratio if scale else None for name, scale in scales.items()}
            layers = found.lowest if found.vanishing else found.highest
            yield Observation(numbers | _ends(by, found) | {"threshold": threshold}, tuple(map(int, layers)))
            return


def _ends(by: str, found: Scale) -> dict[str, Any]:
    """Say which end of the range is farther from the median, in factors."""
    return {
        "by": by,
        "kind": "vanishing" if found.vanishing else "exploding",
        "below_median": found.median / found.low,
        "above_median": found.high / found.median,
        f"lowest_{by}": found.low,
        f"highest_{by}": found.high,
        "lowest_layers": list(found.lowest),
        "highest_layers": list(found.highest),
    }


@rule("high", changes.share, changes.block_mean, changes.normalize_log, changes.cap_rates, of_one_ranking=True)
def score_scale_gap(now: Situation) -> Iterator[Observation]:
    """Mean scores of blocks too far apart for one ranking over all of them."""
    found, threshold = now.measures.scores, now.thresholds.score_gap
    if found is None or found.ratio is None or found.ratio <= threshold:
        return
    numbers = {
        "ratio": found.ratio,
        "lowest_score": found.low,
        "highest_score": found.high,
        "lowest_blocks": list(found.lowest),
        "highest_blocks": list(found.highest),
        "unscored_blocks": list(now.measures.unscored),
        "threshold": threshold,
    }
    yield Observation(numbers, block_layers(str(block) for block in found.lowest))


@rule("high", changes.share, changes.cap_attention, changes.cap_mlp, changes.block_mean)
def block_imbalance(now: Situation) -> Iterator[Observation]:
    """Attention and MLP pruned at very different rates over the whole model."""
    attention, mlp, threshold = now.measures.attention_rate, now.measures.mlp_rate, now.thresholds.block_imbalance
    if attention is None or mlp is None:
        return
    (lower_rate, lower), (higher_rate, higher) = sorted(((attention, "attention"), (mlp, "mlp")))
    if higher_rate - lower_rate > threshold:
        numbers = {"higher": higher, "lower": lower, "higher_rate": higher_rate, "lower_rate": lower_rate}
        yield Observation(numbers | {"difference": higher_rate - lower_rate, "threshold": threshold})


@rule("high", changes.cap_rates, changes.block_correction, changes.share, changes.lower_ratio)
def rate_spread(now: Situation) -> Iterator[Observation]:
    """Rates of the same block type that differ too much between layers; whole layers differ by intention."""
    widest = max(now.measures.spreads, key=lambda spread: spread.value, default=None)
    if widest and widest.value > now.thresholds.rate_spread and not now.whole_layers:
        numbers = {
            "block": widest.block,
            "spread": widest.value,
            "highest_layer": widest.highest_layer,
            "highest_rate": widest.highest_rate,
            "lowest_layer": widest.lowest_layer,
            "lowest_rate": widest.lowest_rate,
            "threshold": now.thresholds.rate_spread,
        }
        yield Observation(numbers, (widest.highest_layer, widest.lowest_layer))
