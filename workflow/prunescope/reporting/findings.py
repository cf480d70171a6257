"""What the report's findings say, for pages and the terminal."""

import yaml

from prunescope.artifacts.diagnosis import DiagnosisReport


def findings_list(report: DiagnosisReport) -> str:
    """Return the findings with their recommendations, as Markdown."""
    lines = []
    for finding in report.diagnosis:
        lines.append(f"- **{finding.severity}: {finding.issue}.** {finding.description}")
        lines.append(f"  {finding.recommendation}")
        if finding.remedy and finding.remedy.command:
            lines.append(f"  `{finding.remedy.command}`")
    return "\n".join(lines)


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
