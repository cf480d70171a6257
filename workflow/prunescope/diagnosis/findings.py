"""From evidence to a report: measure, apply the rules, look up remedies, say it in words."""

from dataclasses import dataclass
from typing import Any

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.inputs import Evidence
from prunescope.diagnosis.measures import Measures, measure
from prunescope.diagnosis.remedies import Context, Remedy, Situation, suggest
from prunescope.diagnosis.rules import Observation, Severity, observe
from prunescope.diagnosis.texts import ENGLISH
from prunescope.diagnosis.wording import Language


@dataclass(frozen=True)
class Finding:
    """One thing that the report says.

    Attributes:
        code: stable name of the rule, the same in every language.
        issue, description, recommendation: title, what was seen, what to do about it.
        evidence: the numbers. layers: the layers concerned.
        remedy: the first remedy that is not in force yet, or None.
    """

    code: str
    issue: str
    severity: Severity
    description: str
    recommendation: str
    evidence: dict[str, Any]
    layers: tuple[int, ...]
    remedy: Remedy | None


@dataclass(frozen=True)
class Report:
    """The findings, worst first, and the measures behind them."""

    findings: tuple[Finding, ...]
    measures: Measures
    thresholds: Diagnosis

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def diagnose(evidence: Evidence, thresholds: Diagnosis, context: Context, language: Language = ENGLISH) -> Report:
    """Judge the evidence by the rules of `rules.RULES`."""
    measures = measure(evidence, thresholds)
    situation = Situation(context, evidence, measures, thresholds)
    seen = observe(measures, evidence, thresholds)
    findings = tuple(_finding(observation, situation, language) for observation in seen)
    return Report(findings, measures, thresholds)


def _finding(seen: Observation, situation: Situation, language: Language) -> Finding:
    remedies = suggest(seen.code, situation)
    text = language.describe(seen, remedies)
    return Finding(
        code=seen.code,
        issue=text.issue,
        severity=seen.severity,
        description=text.description,
        recommendation=text.recommendation,
        evidence=seen.evidence,
        layers=seen.layers,
        remedy=remedies[0] if remedies else None,
    )
