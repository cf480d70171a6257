"""Rules on the gradients: are they numbers, are they on one scale, does a layer stand out."""

from collections.abc import Iterator
from typing import Any

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures, Scale
from prunescope.diagnosis.rules.observation import Observation


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
    """Gradients of the layers too far apart for one global threshold, by their mean or by their norm."""
    for by, found in (("mean", measures.mean), ("norm", measures.norm)):
        if found and found.ratio is not None and found.ratio > thresholds.scale_ratio:
            ratios = {
                "mean_ratio": measures.mean.ratio if measures.mean else None,
                "norm_ratio": measures.norm.ratio if measures.norm else None,
            }
            layers = found.lowest if found.vanishing else found.highest
            numbers = ratios | _ends(by, found) | {"threshold": thresholds.scale_ratio}
            yield Observation("gradient_scale_gap", "high", numbers, layers)
            return


def _ends(by: str, found: Scale) -> dict[str, Any]:
    """Say which end of the range is the far one, in factors from the median."""
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
