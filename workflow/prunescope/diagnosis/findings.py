"""From evidence to a report: measure, apply the rules, look up remedies, say it in words."""

from dataclasses import dataclass, replace
from typing import Any

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures, measure
from prunescope.diagnosis.remedies import Context, Remedy, Situation, exhausted, suggest
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
        remedies: what is not in force yet, the most promising first.
    """

    code: str
    issue: str
    severity: Severity
    description: str
    recommendation: str
    evidence: dict[str, Any]
    layers: tuple[int, ...]
    remedies: tuple[Remedy, ...] = ()

    @property
    def remedy(self) -> Remedy | None:
        """The most promising remedy, or None when none is left."""
        return self.remedies[0] if self.remedies else None


@dataclass(frozen=True)
class Report:
    """The findings, worst first, the measures behind them, and the language (``en``) they are worded in."""

    findings: tuple[Finding, ...]
    measures: Measures
    thresholds: Diagnosis
    language: str

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def diagnose(evidence: Evidence, thresholds: Diagnosis, context: Context, language: Language = ENGLISH) -> Report:
    """Judge the evidence by the rules of `rules.RULES`."""
    measures = measure(evidence, thresholds)
    situation = Situation(context, evidence, measures, thresholds)
    seen = observe(measures, evidence, thresholds, situation.gradients_decide)
    findings = tuple(_finding(observation, situation, language) for observation in seen)
    return Report(findings, measures, thresholds, language.code)


def _finding(seen: Observation, situation: Situation, language: Language) -> Finding:
    remedies = tuple(replace(remedy, what=language.change(remedy)) for remedy in suggest(seen.code, situation))
    text = language.describe(seen, remedies, exhausted=not remedies and exhausted(seen.code, situation))
    return Finding(
        code=seen.code,
        issue=text.issue,
        severity=seen.severity,
        description=text.description,
        recommendation=text.recommendation,
        evidence=seen.evidence,
        layers=seen.layers,
        remedies=remedies,
    )
