"""The rules: each looks at the measures and says what it sees, in codes and numbers, in no language."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.inputs import Evidence
from prunescope.diagnosis.measures import Extreme, Measures

Severity = Literal["info", "high", "critical"]

CLEARLY_NEGATIVE = -0.3


@dataclass(frozen=True)
class Observation:
    """What a rule saw: a stable `code`, how bad it is, the numbers it rests on, and which layers."""

    code: str
    severity: Severity
    evidence: dict[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] = ()


Rule = Callable[[Measures, Evidence, Diagnosis], Iterable[Observation]]


def observe(measures: Measures, evidence: Evidence, thresholds: Diagnosis) -> tuple[Observation, ...]:
    """Apply all rules; the worst first, and one `no_problem` when none is high or critical."""
    seen = [found for rule in RULES for found in rule(measures, evidence, thresholds)]
    if all(found.severity == "info" for found in seen):
        seen.insert(0, _no_problem(measures, thresholds))
    order = ("critical", "high", "info")
    return tuple(sorted(seen, key=lambda found: order.index(found.severity)))


def non_finite(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """NaN or Infinity among the gradient statistics."""
    found = evidence.statistics
    if found.non_finite or found.non_finite_layers:
        numbers = {"parameters": list(found.non_finite), "count": len(found.non_finite)}
        yield Observation("non_finite_gradient", "critical", numbers, found.non_finite_layers)


def vanishing(measures: Measures, _: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Layers without any gradient, for which no ratio exists."""
    if measures.vanishing:
        numbers = {"mean": 0.0, "highest_mean": measures.mean.high}
        yield Observation("vanishing_gradient", "high", numbers, measures.vanishing)


def scale_gap(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Mean gradients of the layers too far apart for one global threshold."""
    mean, norm = measures.mean, measures.norm
    if mean is None or mean.ratio is None or mean.ratio <= thresholds.scale_ratio:
        return
    numbers = {
        "mean_ratio": mean.ratio,
        "norm_ratio": norm.ratio if norm else None,
        "lowest_mean": mean.low,
        "highest_mean": mean.high,
        "lowest_layers": list(mean.lowest),
        "highest_layers": list(mean.highest),
        "threshold": thresholds.scale_ratio,
    }
    yield Observation("gradient_scale_gap", "high", numbers, mean.lowest)


def many_extreme(measures: Measures, evidence: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Too large a share of the layers above the extreme rate."""
    count, layers = len(measures.extreme), len(evidence.layers)
    if layers and count / layers > thresholds.extreme_share:
        numbers = {"share": count / layers, "count": count, "of": layers} | _losses(measures.extreme)
        numbers |= {"extreme_rate": thresholds.extreme_rate, "threshold": thresholds.extreme_share}
        yield Observation("many_extreme_layers", "high", numbers, _layers(measures.extreme))


def early_extreme(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Extreme rates among the first layers, which everything after them builds on."""
    early = tuple(extreme for extreme in measures.extreme if extreme.layer < thresholds.early_layers)
    if early:
        numbers = {"count": len(early), "of": thresholds.early_layers} | _losses(early)
        numbers |= {"extreme_rate": thresholds.extreme_rate}
        yield Observation("early_layers_extreme", "critical", numbers, _layers(early))


def spread(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Rates of the same block type that differ too much between layers."""
    widest = max(measures.spreads, key=lambda spread: spread.value, default=None)
    if widest and widest.value > thresholds.rate_spread:
        numbers = {
            "block": widest.block,
            "spread": widest.value,
            "highest_layer": widest.highest_layer,
            "highest_rate": widest.highest_rate,
            "lowest_layer": widest.lowest_layer,
            "lowest_rate": widest.lowest_rate,
            "threshold": thresholds.rate_spread,
        }
        yield Observation("rate_spread", "high", numbers, (widest.highest_layer, widest.lowest_layer))


def peaks_and_valleys(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Single layers whose gradients stand out from the profile."""
    sides = {
        "gradient_valley": [spike for spike in measures.spikes if spike.z < 0],
        "gradient_spike": [spike for spike in measures.spikes if spike.z > 0],
    }
    for code, found in sides.items():
        if found:
            numbers = {"z": {str(spike.layer): spike.z for spike in found}, "threshold": thresholds.spike_z}
            yield Observation(code, "info", numbers, tuple(spike.layer for spike in found))


def correlation(measures: Measures, evidence: Evidence, _: Diagnosis) -> Iterator[Observation]:
    """Rates that do not fall as importance rises."""
    rho = measures.spearman
    if rho is None or rho <= CLEARLY_NEGATIVE:
        return
    numbers = {"spearman": rho, "threshold": CLEARLY_NEGATIVE}
    if rho > 0:
        yield Observation("importance_rate_inverted", "high", numbers)
    else:
        yield Observation("importance_rate_weak", "info", numbers)


def limits(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Limits that kept what the score would have removed."""
    for bound in evidence.rates.bound:
        numbers = {"limit": bound.limit, "blocks": list(bound.blocks), "count": len(bound.blocks)}
        yield Observation("limit_bound", "info", numbers, bound.layers)


def negative_deltas(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Blocks whose removal lowered the loss, counted as zero."""
    found = evidence.rates.negative_deltas
    if found:
        numbers = {"deltas": {f"{delta.layer}.{delta.block}": delta.delta for delta in found}}
        numbers |= {"count": len(found)}
        layers = tuple(sorted({delta.layer for delta in found}))
        yield Observation("negative_removal_delta", "info", numbers, layers)


RULES: tuple[Rule, ...] = (
    non_finite,
    vanishing,
    early_extreme,
    many_extreme,
    scale_gap,
    spread,
    correlation,
    peaks_and_valleys,
    limits,
    negative_deltas,
)


def _no_problem(measures: Measures, thresholds: Diagnosis) -> Observation:
    numbers = {
        "mean_ratio": measures.mean.ratio if measures.mean else None,
        "extreme": len(measures.extreme),
        "highest_rate": max((spread.highest_rate for spread in measures.spreads), default=None),
        "spearman": measures.spearman,
        "extreme_rate": thresholds.extreme_rate,
    }
    return Observation("no_problem", "info", numbers)


def _losses(extreme: Iterable[Extreme]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the offending rates by block and layer: ``{"losses": {"mlp": {"2": 0.99}}}``."""
    losses: dict[str, dict[str, float]] = {}
    for found in extreme:
        for block, rate in found.above.items():
            losses.setdefault(block, {})[str(found.layer)] = rate
    return {"losses": losses}


def _layers(extreme: Iterable[Extreme]) -> tuple[int, ...]:
    return tuple(found.layer for found in extreme)
