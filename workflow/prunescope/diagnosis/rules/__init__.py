"""The rules: each looks at the measures and says what it sees, in codes and numbers, in no language."""

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures
from prunescope.diagnosis.rules import gradients, importance, rates
from prunescope.diagnosis.rules.observation import Observation, Rule, Severity

__all__ = ["RULES", "Observation", "Rule", "Severity", "observe"]

RULES: tuple[Rule, ...] = (
    gradients.non_finite,
    gradients.vanishing,
    rates.early_extreme,
    rates.many_extreme,
    gradients.scale_gap,
    importance.score_gap,
    rates.imbalance,
    rates.spread,
    importance.correlation,
    importance.few_samples,
    gradients.peaks_and_valleys,
    rates.limits,
    rates.collapsed,
    importance.negative_deltas,
    importance.shared_source,
)


def observe(measures: Measures, evidence: Evidence, thresholds: Diagnosis) -> tuple[Observation, ...]:
    """Apply all rules; the worst first, and one `no_problem` when none is high or critical."""
    seen = [found for rule in RULES for found in rule(measures, evidence, thresholds)]
    if all(found.severity == "info" for found in seen):
        seen.insert(0, _no_problem(measures, thresholds))
    order = ("critical", "high", "info")
    return tuple(sorted(seen, key=lambda found: order.index(found.severity)))


def _no_problem(measures: Measures, thresholds: Diagnosis) -> Observation:
    numbers = {
        "mean_ratio": measures.mean.ratio if measures.mean else None,
        "extreme": len(measures.extreme),
        "highest_rate": max((spread.highest_rate for spread in measures.spreads), default=None),
        "spearman": measures.spearman,
        "extreme_rate": thresholds.extreme_rate,
    }
    return Observation("no_problem", "info", numbers)
