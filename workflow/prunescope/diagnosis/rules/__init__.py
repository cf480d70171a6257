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
OF_GRADIENTS = (gradients.vanishing, gradients.scale_gap, gradients.peaks_and_valleys)
"""Rules that explain nothing where no gradient decides what goes."""


def observe(
    measures: Measures, evidence: Evidence, thresholds: Diagnosis, gradients_decide: bool = True
) -> tuple[Observation, ...]:
    """Apply all rules; the worst first, and one `no_problem` when none is high or critical.

    Args:
        gradients_decide: whether the criterion reads gradients; else the rules on them are left out.
    """
    rules = [rule for rule in RULES if gradients_decide or rule not in OF_GRADIENTS]
    seen = [found for rule in rules for found in rule(measures, evidence, thresholds)]
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
