"""The remedies of a report, and what to run next, for its page and the terminal."""

from typing import Any

import yaml

from prunescope.artifacts.diagnosis import DiagnosisReport, Remedy
from prunescope.diagnosis.rules.parent import broken_parent

Lines = list[str]


def remedies_once(report: DiagnosisReport) -> tuple[dict[str, Lines], dict[str, Lines]]:
    """Return each remedy of a report once, the best first: by command, and by configuration, what is said of it."""
    found = [remedy for finding in report.diagnosis for remedy in finding.remedies if remedy.verdict != "impossible"]
    remedies = sorted(found, key=lambda remedy: remedy.order)
    commands = {remedy.command: _said(remedy) for remedy in remedies if remedy.command}
    patches = {as_line(remedy.patch): _said(remedy) for remedy in remedies if not remedy.command}
    return commands, patches


def _said(remedy: Remedy) -> Lines:
    return [remedy.what, remedy.effect] if remedy.effect else [remedy.what]


def next_line(report: DiagnosisReport) -> str | None:
    """Return what runs what is best by what was measured, or its settings where no name can say them; None if none."""
    if report.checks.trial is None or any(finding.code == broken_parent.code for finding in report.diagnosis):
        return None
    best = report.checks.trial.more_text or report.checks.trial.best
    return best.command or as_line(best.patch)


def as_line(patch: dict[str, Any]) -> str:
    """Return settings as one line of YAML."""
    return yaml.safe_dump(patch, default_flow_style=True, width=1000).strip()
