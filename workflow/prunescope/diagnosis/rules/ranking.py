"""Rules on the ranking: do rates follow importance, is there text enough behind the scores, does a layer stand out."""

import statistics
from collections.abc import Iterator

from prunescope.artifacts.diagnosis import Spike
from prunescope.diagnosis import changes
from prunescope.diagnosis.rules.base import Observation, rule
from prunescope.diagnosis.situation import Situation


@rule("high", changes.more_samples, changes.clip, changes.other_text)
def importance_rate_inverted(now: Situation) -> Iterator[Observation]:
    """Rates that rise with importance."""
    rho = now.measures.spearman
    if rho is not None and rho > 0:
        yield Observation({"spearman": rho, "threshold": now.thresholds.correlation})


@rule("info")
def importance_rate_weak(now: Situation) -> Iterator[Observation]:
    """Rates that hardly fall as importance rises."""
    rho, threshold = now.measures.spearman, now.thresholds.correlation
    if rho is not None and threshold < rho <= 0:
        yield Observation({"spearman": rho, "threshold": threshold})


@rule("high", changes.more_samples)
def few_samples(now: Situation) -> Iterator[Observation]:
    """Scores on which two halves of the calibration set do not agree.

    High where in most layers the order is chance. Short of that, twice the windows gave 0 to 8 % of perplexity
    (docs/truth.md).
    """
    unstable, stability = now.measures.unstable, now.evidence.stability
    if not unstable or stability is None:
        return
    known = {layer: rho for layer, rho in stability.layers.items() if rho is not None}
    median = statistics.median(known.values())
    numbers = {
        "criterion": stability.criterion,
        "samples": stability.samples,
        "rho": {str(layer): known[layer] for layer in unstable},
        "median": median,
        "count": len(unstable),
        "of": len(known),
        "threshold": now.thresholds.stability,
    }
    yield Observation(numbers, unstable, None if median < now.thresholds.noise else "info")


@rule("info", changes.block_correction, changes.shorter_windows, changes.normalize_log, of_gradients=True)
def gradient_valley(now: Situation) -> Iterator[Observation]:
    """Single layers whose gradients lie far below the profile."""
    yield from _outstanding([spike for spike in now.measures.spikes if spike.z < 0], now)


@rule("info", changes.more_samples, changes.clip, changes.other_text, of_gradients=True)
def gradient_spike(now: Situation) -> Iterator[Observation]:
    """Single layers whose gradients lie far above the profile."""
    yield from _outstanding([spike for spike in now.measures.spikes if spike.z > 0], now)


def _outstanding(found: list[Spike], now: Situation) -> Iterator[Observation]:
    if found:
        numbers = {"z": {str(spike.layer): spike.z for spike in found}, "threshold": now.thresholds.spike_z}
        yield Observation(numbers, tuple(spike.layer for spike in found))
