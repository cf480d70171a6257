"""The rules: each looks at a situation and says what it sees, in numbers, in no language."""

from collections.abc import Iterator

from prunescope.artifacts.diagnosis import Severity
from prunescope.diagnosis.rules import extremes, notes, parent, ranking, scales
from prunescope.diagnosis.rules.base import Observation, Rule, rule
from prunescope.diagnosis.situation import Situation

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "info")


@rule("info")
def no_problem(now: Situation) -> Iterator[Observation]:
    """Nothing high or critical was seen."""
    measures = now.measures
    yield Observation(
        {
            "mean_ratio": measures.mean.ratio if measures.mean else None,
            "extreme": len(measures.extreme),
            "highest_rate": max((spread.highest_rate for spread in measures.spreads), default=None),
            "spearman": measures.spearman,
            "extreme_rate": now.thresholds.extreme_rate,
        }
    )


# By code. Findings of one severity are reported in this order.
RULES: dict[str, Rule] = {
    found.code: found
    for module in (parent, extremes, scales, ranking, notes)
    for found in vars(module).values()
    if isinstance(found, Rule)
} | {no_problem.code: no_problem}


def observe(now: Situation) -> list[tuple[Rule, Severity, Observation]]:
    """Apply all rules; the worst first, and one `no_problem` when none is high or critical."""
    seen = [
        (rule, found.severity or rule.severity, found)
        for rule in RULES.values()
        if rule is not no_problem and _explains(rule, now)
        for found in rule.look(now)
    ]
    if all(severity == "info" for _, severity, _ in seen):
        seen = [(no_problem, no_problem.severity, found) for found in no_problem.look(now)] + seen
    return sorted(seen, key=lambda entry: SEVERITIES.index(entry[1]))


def _explains(rule: Rule, now: Situation) -> bool:
    """Whether what a rule looks at decides what goes."""
    return (now.gradients_decide or not rule.of_gradients) and not (rule.of_one_ranking and now.equal_layers)
