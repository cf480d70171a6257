"""The report in a terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from prunescope.diagnosis.content import remedies_once
from prunescope.diagnosis.words import LANGUAGES, Language
from prunescope.files import read_json
from prunescope.reporting.wrapping import Wrapped

COLOURS = {"critical": "bold red", "high": "yellow", "info": "cyan"}


def print_report(path: Path, console: Console | None = None) -> None:
    """Print the `gradient_diagnosis.json` at `path`, in its language: findings, extreme layers, commands."""
    show_report(read_json(path), str(path), console)


def show_report(content: dict[str, Any], title: str, console: Console | None = None) -> None:
    """Print the content of a `gradient_diagnosis.json`."""
    console = console or Console()
    # Reports of before there were languages are in English.
    language = LANGUAGES[content.get("language", "en")]
    console.print(_findings(content["diagnosis"], title, language))
    if content["extreme_pruning_layers"]:
        console.print(_extreme(content["extreme_pruning_layers"], language))
    for line in _remedies(content, language):
        console.print(line, soft_wrap=True)


def _findings(findings: list[dict[str, Any]], title: str, language: Language) -> Table:
    words = language.labels
    table = Table(title=title, title_justify="left", show_lines=True, expand=True)
    table.add_column(words["severity"], no_wrap=True)
    for name in ("seen", "advice"):
        table.add_column(words[name], ratio=1, overflow="fold")
    # Chinese has no spaces for rich to wrap at.
    said = Wrapped if language.cjk else Text
    for finding in findings:
        seen = Group(Text(finding["issue"], style="bold"), said(finding["description"]))
        severity = Text(words[finding["severity"]], style=COLOURS[finding["severity"]])
        table.add_row(severity, seen, said(finding["recommendation"]))
    return table


def _extreme(layers: list[dict[str, Any]], language: Language) -> Table:
    words = language.labels
    table = Table(title=words["extreme_layers"], title_justify="left")
    for name in ("layer", "attention", "mlp", "total", "above"):
        table.add_column(words[name], justify="left" if name == "above" else "right")
    for layer in layers:
        rates = (layer[key] for key in ("attention_rate", "mlp_rate", "pruning_rate"))
        said = ["-" if rate is None else language.percent(rate) for rate in rates]
        table.add_row(str(layer["layer_idx"]), *said, ", ".join(words[block] for block in layer["which"]))
    return table


def _remedies(content: dict[str, Any], language: Language) -> list[Text]:
    """Say each remedy once, as a comment and below it the line to copy."""
    commands, patches = remedies_once(content)
    lines = []
    for title, entries in ((language.labels["commands"], commands), (language.labels["change"], patches)):
        if entries:
            lines.append(Text(title, style="bold"))
        for entry, what in entries.items():
            lines += [Text(f"  # {what}", style="dim"), Text(f"  {entry}")]
    return lines
