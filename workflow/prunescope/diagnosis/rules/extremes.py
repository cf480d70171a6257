"""Rules on gradients that are no numbers or zero, and on layers that lose nearly everything."""

from collections.abc import Iterator, Sequence
from typing import Any

from prunescope.diagnosis import changes
from prunescope.diagnosis.measures import Extreme
from prunescope.diagnosis.rules.rule import Observation, rule
from prunescope.diagnosis.situation import Situation


@rule("critical", changes.full_precision)
def non_finite_gradient(now: Situation) -> Iterator[Observation]:
    """NaN or Infinity among the gradient statistics."""
    found = now.evidence.statistics
    if found.non_finite or found.non_finite_layers:
        numbers = {"parameters": list(found.non_finite), "count": len(found.non_finite)}
        yield Observation(numbers, found.non_finite_layers)


@rule("high", changes.full_precision, changes.more_samples, changes.other_text, of_gradients=True)
def vanishing_gradient(now: Situation) -> Iterator[Observation]:
    """Layers without any gradient, for which no ratio exists."""
    measures = now.measures
    if measures.mean and measures.vanishing:
        yield Observation({"mean": 0.0, "highest_mean": measures.mean.high}, measures.vanishing)


@rule(
    "critical",
    changes.cap_early,
    changes.block_correction,
    changes.cap_rates,
    changes.share,
    changes.depth_weight,
    changes.protect,
    changes.lower_ratio,
)
def early_layers_extreme(now: Situation) -> Iterator[Observation]:
    """Extreme rates among the first layers, whose output all later layers build on."""
    early = [extreme for extreme in now.measures.extreme if extreme.layer < now.thresholds.early_layers]
    if early:
        yield _extreme(early, now, {"count": len(early), "of": now.thresholds.early_layers})


@rule(
    "high",
    changes.cap_rates,
    changes.block_correction,
    changes.share,
    changes.collapse,
    changes.lower_ratio,
)
def many_extreme_layers(now: Situation) -> Iterator[Observation]:
    """Too large a share of the layers above the extreme rate."""
    extreme, layers = now.measures.extreme, len(now.evidence.layers)
    share = len(extreme) / layers if layers else 0
    if share > now.thresholds.extreme_share:
        found = _extreme(extreme, now, {"share": share, "count": len(extreme), "of": layers})
        found.evidence["threshold"] = now.thresholds.extreme_share
        yield found


def _extreme(extreme: Sequence[Extreme], now: Situation, numbers: dict[str, Any]) -> Observation:
    """Add the offending rates by block and layer: ``{"losses": {"mlp": {"2": 0.99}}}``."""
    losses: dict[str, dict[str, float]] = {}
    for found in extreme:
        for block, rate in found.above.items():
            losses.setdefault(block, {})[str(found.layer)] = rate
    numbers |= {"losses": losses, "extreme_rate": now.thresholds.extreme_rate}
    return Observation(numbers, tuple(found.layer for found in extreme))
