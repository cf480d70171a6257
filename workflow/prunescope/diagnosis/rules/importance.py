"""Rules on the scores: do the rates follow them, are they on one scale, is there text enough behind them."""

import statistics
from collections.abc import Iterator

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence, block_layers
from prunescope.diagnosis.measures import Measures
from prunescope.diagnosis.rules.observation import Observation


def correlation(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Rates that do not fall as importance rises."""
    rho = measures.spearman
    if rho is None or rho <= thresholds.correlation:
        return
    numbers = {"spearman": rho, "threshold": thresholds.correlation}
    if rho > 0:
        yield Observation("importance_rate_inverted", "high", numbers)
    else:
        yield Observation("importance_rate_weak", "info", numbers)


def score_gap(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Mean scores of blocks too far apart for one ranking over all of them."""
    found = measures.scores
    if found is None or found.ratio is None or found.ratio <= thresholds.score_gap:
        return
    numbers = {
        "ratio": found.ratio,
        "lowest_score": found.low,
        "highest_score": found.high,
        "lowest_blocks": list(found.lowest),
        "highest_blocks": list(found.highest),
        "unscored_blocks": list(measures.unscored),
        "threshold": thresholds.score_gap,
    }
    yield Observation("score_scale_gap", "high", numbers, block_layers(found.lowest))


def few_samples(measures: Measures, evidence: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Scores that two halves of the calibration set do not agree on."""
    if not measures.unstable:
        return
    known = {layer: rho for layer, rho in evidence.stability.layers.items() if rho is not None}
    count = len(measures.unstable)
    numbers = {
        "criterion": evidence.stability.criterion,
        "samples": evidence.stability.samples,
        "rho": {str(layer): known[layer] for layer in measures.unstable},
        "median": statistics.median(known.values()),
        "count": count,
        "of": len(known),
        "threshold": thresholds.stability,
    }
    severity = "high" if count / len(known) > thresholds.unstable_share else "info"
    yield Observation("few_samples", severity, numbers, measures.unstable)


def shared_source(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Calibration and evaluation on text of the same source, or on the very documents."""
    others = evidence.texts.with_leakage("none")
    for code, severity, kind in (("shared_documents", "high", "documents"), ("shared_source", "info", "source")):
        shared = evidence.texts.with_leakage(kind)
        if shared:
            yield Observation(code, severity, {"texts": shared, "others": others})


def negative_deltas(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Blocks whose removal lowered the loss, counted as zero."""
    found = evidence.rates.negative_deltas
    if found:
        numbers = {"deltas": {f"{delta.layer}.{delta.block}": delta.delta for delta in found}}
        numbers |= {"count": len(found)}
        layers = tuple(sorted({delta.layer for delta in found}))
        yield Observation("negative_removal_delta", "info", numbers, layers)
