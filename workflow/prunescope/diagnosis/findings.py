"""From evidence to a report: measure, apply the rules, look up remedies, say it in words."""

from dataclasses import dataclass

from prunescope.artifacts.diagnosis import Finding, Severity
from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures, measure
from prunescope.diagnosis.remedies import exhausted, suggest
from prunescope.diagnosis.rules import Observation, Rule, observe
from prunescope.diagnosis.situation import Context, Situation
from prunescope.diagnosis.words import ENGLISH, Language

# A sentence names the first remedies; the report lists all of them.
NAMED = 3


@dataclass(frozen=True)
class Judgement:
    """The findings, worst first, what they rest on, and the language (``en``) they are worded in."""

    findings: tuple[Finding, ...]
    situation: Situation
    language: str

    @property
    def measures(self) -> Measures:
        return self.situation.measures

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def diagnose(evidence: Evidence, thresholds: Diagnosis, context: Context, language: Language = ENGLISH) -> Judgement:
    """Judge the evidence by the rules of `rules.RULES`."""
    now = Situation(context, evidence, measure(evidence, thresholds), thresholds)
    findings = tuple(_finding(*observed, now, language) for observed in observe(now))
    return Judgement(findings, now, language.code)


def _finding(rule: Rule, severity: Severity, seen: Observation, now: Situation, words: Language) -> Finding:
    found = suggest(rule.code, now)
    remedies = tuple(one.model_copy(update={"what": words.change(one.kind, one.patch)}) for one in found)
    numbers = seen.evidence | {"layers": seen.layers}
    offers = [words.offer(remedy.what, remedy.experiment) for remedy in remedies[:NAMED]]
    at_end = severity != "info" and exhausted(rule.code, now)
    return Finding(
        issue=words.finding(rule.code, "issue", numbers),
        severity=severity,
        description=words.finding(rule.code, "description", numbers),
        recommendation=words.advice(words.finding(rule.code, "recommendation", numbers), offers, at_end),
        code=rule.code,
        layers=seen.layers,
        evidence=seen.evidence,
        remedy=remedies[0] if remedies else None,
        remedies=remedies,
    )
