"""Something that was looked at before a run, and the table of all that was."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

Status = Literal["ok", "note", "missing"]
SIGNS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "missing": ("MISSING", "red"),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: `note` is worth knowing and stops nothing; `missing` stops what is wanted.
        found: what there is. advice: what to do; empty where nothing is.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


def print_checks(checks: Iterable[Check]) -> None:
    """Print the checks as a table."""
    table = Table()
    for name in ("", "what", "found", "what to do"):
        table.add_column(name, overflow="fold")  # names of files are not cut short
    for check in checks:
        said, colour = SIGNS[check.status]
        table.add_row(Text(said, style=colour), *(Text(part) for part in (check.name, check.found, check.advice)))
    Console().print(table)
