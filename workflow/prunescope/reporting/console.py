"""The report in a terminal."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from prunescope.artifacts.diagnosis import DiagnosisReport, ExtremeLayer, Finding
from prunescope.diagnosis.words import LANGUAGES, Language
from prunescope.reporting.remedies import next_line, remedies_once

COLOURS = {"critical": "bold red", "high": "yellow", "info": "cyan"}

# A Latin word or name with the space after it, or one character; a closing mark stays with what it closes.
PIECE = re.compile(r"(?:[!-~]+ ?|.)[，。；：、）]*", re.DOTALL)


def print_report(report: DiagnosisReport, title: str, console: Console | None = None) -> None:
    """Print a report in its language: the best setting, findings, extreme layers, commands, and what to run next."""
    console = console or Console()
    language = LANGUAGES[report.language]
    if report.headline:
        console.print(Wrapped(report.headline, "bold") if language.cjk else Text(report.headline, style="bold"))
    console.print(_findings(report.diagnosis, title, language))
    if report.extreme_pruning_layers:
        console.print(_extreme(report.extreme_pruning_layers, language))
    for line in [*_remedies(report, language), *_trial(report, language)]:
        console.print(line, soft_wrap=True)


def _findings(findings: Iterable[Finding], title: str, language: Language) -> Table:
    words = language.labels
    table = Table(title=title, title_justify="left", show_lines=True, expand=True)
    table.add_column(words["severity"], no_wrap=True)
    for name in ("seen", "advice"):
        table.add_column(words[name], ratio=1, overflow="fold")
    # Chinese has no spaces for rich to wrap at.
    said = Wrapped if language.cjk else Text
    for finding in findings:
        seen = Group(Text(finding.issue, style="bold"), said(finding.description))
        severity = Text(words[finding.severity], style=COLOURS[finding.severity])
        table.add_row(severity, seen, said(finding.recommendation))
    return table


def _extreme(layers: list[ExtremeLayer], language: Language) -> Table:
    words = language.labels
    table = Table(title=words["extreme_layers"], title_justify="left")
    for name in ("layer", "attention", "mlp", "total", "above"):
        table.add_column(words[name], justify="left" if name == "above" else "right")
    for layer in layers:
        rates = (layer.attention_rate, layer.mlp_rate, layer.pruning_rate)
        said = ["-" if rate is None else language.percent(rate) for rate in rates]
        table.add_row(str(layer.layer_idx), *said, ", ".join(words[block] for block in layer.which))
    return table


def _remedies(report: DiagnosisReport, language: Language) -> list[Text]:
    """Say each remedy once, as comments and below them the line to copy."""
    commands, patches = remedies_once(report)
    lines = []
    for title, entries in ((language.labels["commands"], commands), (language.labels["change"], patches)):
        if entries:
            lines.append(Text(title, style="bold"))
        for entry, said in entries.items():
            lines += [*(Text(f"  # {line}", style="dim") for line in said), Text(f"  {entry}")]
    return lines


def _trial(report: DiagnosisReport, language: Language) -> list[Text]:
    """Say what could not be measured, and last of all the line to copy for the best setting."""
    words, trial, line = language.labels, report.checks.trial, next_line(report)
    if trial is None or line is None:
        return []
    lines = [Text(words["unmeasured"], style="bold")] if trial.unmeasured else []
    lines += [Text(f"  {name}{words['colon']}{reason}") for name, reason in trial.unmeasured.items()]
    kind = "more_text" if trial.more_text else "best_own" if trial.verdict == "same" else "best_setting"
    return [*lines, Text(words[kind], style="bold"), Text(f"  {line}")]


@dataclass(frozen=True)
class Wrapped:
    """Text with few spaces, such as Chinese: it may break between any two characters, but not inside a Latin word."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(wrap(self.text, options.max_width)), style=self.style, overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(2, options.max_width), min(cell_len(self.text), options.max_width))


def wrap(text: str, width: int) -> list[str]:
    """Break `text` into lines of at most `width` terminal cells; a Chinese character takes two."""
    lines = [""]
    for piece in PIECE.findall(text):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
