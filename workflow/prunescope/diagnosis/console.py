"""The report in a terminal."""

from pathlib import Path
from typing import Any

import yaml
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from prunescope.diagnosis.texts import ENGLISH
from prunescope.diagnosis.wording import Language, percent
from prunescope.files import read_json

COLOURS = {"critical": "bold red", "high": "yellow", "info": "cyan"}


def print_report(path: Path, console: Console | None = None, language: Language = ENGLISH) -> None:
    """Print the `gradient_diagnosis.json` at `path`: findings, extreme layers, commands."""
    content = read_json(path)
    console = console or Console()
    console.print(_findings(content["diagnosis"], path, language))
    if content["extreme_pruning_layers"]:
        console.print(_extreme(content["extreme_pruning_layers"], language))
    remedies = [finding["remedy"] for finding in content["diagnosis"] if finding["remedy"]]
    for line in _remedies(remedies, language):
        console.print(line, soft_wrap=True)


def _findings(findings: list[dict[str, Any]], path: Path, language: Language) -> Table:
    words = language.labels
    table = Table(title=f"{path}", title_justify="left", show_lines=True, expand=True)
    table.add_column(words["severity"], no_wrap=True)
    table.add_column(words["seen"], ratio=1)
    table.add_column(words["advice"], ratio=1)
    for finding in findings:
        seen = Group(Text(finding["issue"], style="bold"), Text(finding["description"]))
        severity = Text(finding["severity"], style=COLOURS[finding["severity"]])
        table.add_row(severity, seen, Text(finding["recommendation"]))
    return table


def _extreme(layers: list[dict[str, Any]], language: Language) -> Table:
    words = language.labels
    table = Table(title=words["extreme_layers"], title_justify="left")
    for name in ("layer", "attention", "mlp", "total", "above"):
        table.add_column(words[name], justify="left" if name == "above" else "right")
    for layer in layers:
        rates = (layer[key] for key in ("attention_rate", "mlp_rate", "pruning_rate"))
        said = ["-" if rate is None else percent(rate) for rate in rates]
        table.add_row(str(layer["layer_idx"]), *said, ", ".join(words[block] for block in layer["which"]))
    return table


def _remedies(remedies: list[dict[str, Any]], language: Language) -> list[Text]:
    commands = dict.fromkeys(remedy["command"] for remedy in remedies if remedy["command"])
    patches = dict.fromkeys(_patch(remedy["patch"]) for remedy in remedies if not remedy["command"])
    lines = []
    for title, entries in ((language.labels["commands"], commands), (language.labels["change"], patches)):
        if entries:
            lines += [Text(title, style="bold"), *(Text(f"  {entry}") for entry in entries)]
    return lines


def _patch(patch: dict[str, Any]) -> str:
    return yaml.safe_dump(patch, default_flow_style=True, width=1000).strip()
