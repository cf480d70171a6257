"""Rules on gradients that are no numbers or zero, and on layers that lose nearly everything."""

from collections.abc import Iterable, Iterator
from typing import Any

from prunescope.diagnosis import changes
from prunescope.diagnosis.measures import Extreme
from prunescope.diagnosis.rules.base import Observation, rule
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
    thresholds = now.thresholds
    early = [extreme for extreme in now.measures.extreme if extreme.layer < thresholds.early_layers]
    if early:
        numbers: dict[str, Any] = {"count": len(early), "of": thresholds.early_layers, "losses": _losses(early)}
        yield Observation(numbers | {"extreme_rate": thresholds.extreme_rate}, _layers(early))


@rule("high", changes.cap_rates, changes.block_correction, changes.share, changes.collapse, changes.lower_ratio)
def many_extreme_layers(now: Situation) -> Iterator[Observation]:
    """Too large a share of the layers above the extreme rate; whole layers are above it by intention."""
    thresholds, extreme, layers = now.thresholds, now.measures.extreme, len(now.evidence.layers)
    share = len(extreme) / layers if layers else 0
    if share > thresholds.extreme_share and not now.whole_layers:
        numbers: dict[str, Any] = {"share": share, "count": len(extreme), "of": layers, "losses": _losses(extreme)}
        numbers |= {"extreme_rate": thresholds.extreme_rate, "threshold": thresholds.extreme_share}
        yield Observation(numbers, _layers(extreme))


def _losses(extreme: Iterable[Extreme]) -> dict[str, dict[str, float]]:
    """Return the offending rates by block and layer: ``{"mlp": {"2": 0.99}}``."""
    losses: dict[str, dict[str, float]] = {}
    for found in extreme:
        for block, rate in found.above.items():
            losses.setdefault(block, {})[str(found.layer)] = rate
    return losses


def _layers(extreme: Iterable[Extreme]) -> tuple[int, ...]:
    return tuple(found.layer for found in extreme)
