"""The remedies of a report, for its page and the terminal."""

import yaml

from prunescope.artifacts.diagnosis import DiagnosisReport


def remedies_once(report: DiagnosisReport) -> tuple[dict[str, str], dict[str, str]]:
    """Return each remedy of a report once: command -> what it changes, and configuration -> what it changes."""
    remedies = [remedy for finding in report.diagnosis for remedy in finding.remedies]
    commands = {remedy.command: remedy.what for remedy in remedies if remedy.command}
    patches = {
        yaml.safe_dump(remedy.patch, default_flow_style=True, width=1000).strip(): remedy.what
        for remedy in remedies
        if not remedy.command
    }
    return commands, patches
