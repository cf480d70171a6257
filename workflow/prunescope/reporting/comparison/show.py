"""A comparison for people: in the terminal and as Markdown."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from rich.console import Console
from rich.measure import Measurement as Width
from rich.table import Table

from prunescope.artifacts.folders import ComparisonFolder
from prunescope.artifacts.perplexity import shown
from prunescope.markdown import table as markdown_table
from prunescope.reporting.comparison.frame import RATIO, Comparison
from prunescope.reporting.comparison.recommend import recommend
from prunescope.reporting.dtypes import mixed_dtypes
from prunescope.reporting.rendering import render

RATES = {
    "attention rate": "attention %",
    "MLP rate": "MLP %",
    "highest layer rate": "max layer %",
    "rate spread": "spread %",
}
SETTINGS = "settings unlike the first"
WORSE = "perplexity, x unpruned"
TEXT = ("experiment", SETTINGS)
"""The columns that hold no numbers."""


def short_table(compared: Comparison) -> pd.DataFrame:
    """Return what was removed and how many times higher perplexity is, as text (index: name)."""
    rows = compared.table()
    worse = [shown(value) for value in rows[RATIO].astype(float)]
    return pd.DataFrame({"removed %": _column(100 * rows["removed of all"], ".1f"), WORSE: worse}, index=rows.index)


def main_table(compared: Comparison) -> pd.DataFrame:
    """Return the numbers as text, the unpruned model first and what decides before what explains."""
    rows = compared.table()
    table = short_table(compared)
    for measured in compared.measurements:
        columns = rows[[measured.column, *measured.bounds]].astype(float)
        table[str(measured)] = [_perplexity(*values) for values in columns.itertuples(index=False)]
        if (trained := f"trained {measured.column}") in rows:
            table[f"{measured} trained"] = [_perplexity(value) for value in rows[trained].astype(float)]
    for name, title in RATES.items():
        table[title] = _column(100 * rows[name], ".1f")
    table["extreme layers"] = _column(rows["extreme layers"], ".0f")
    critical, high = (_column(rows[f"{severity} findings"], ".0f") for severity in ("critical", "high"))
    table["critical + high findings"] = [
        f"{one} + {other}" if one else "" for one, other in zip(critical, high, strict=True)
    ]
    table["checkpoint MB"] = _column(rows["checkpoint bytes"] / 1e6, ".0f")
    return table.reset_index()


def settings_table(compared: Comparison) -> pd.DataFrame | None:
    """Return in which settings every experiment is unlike the first one; None where there are none."""
    if compared.settings.empty:
        return None
    first = compared.settings.iloc[0]
    said = {
        name: "; ".join(f"{path} = {value}" for path, value in row.items() if value != first[path])
        for name, row in compared.settings.iterrows()
    }
    return pd.DataFrame({"experiment": said.keys(), SETTINGS: said.values()})


def conclusions(compared: Comparison) -> list[str]:
    """Return the recommendation, and a warning where the numbers were computed in different dtypes."""
    mixed = mixed_dtypes(compared.dtypes)
    return recommend(compared) + ([mixed] if mixed else [])


def print_comparison(compared: Comparison, markdown: bool, everything: bool, unfinished: Sequence[str]) -> None:
    """Print the recommendation and what it rests on, for the terminal or as Markdown.

    Args:
        everything: all numbers and settings; Markdown has them in any case. unfinished: experiments that are left out.
    """
    said = conclusions(compared)
    said += [f"Left out, since they are not finished: {', '.join(unfinished)}."] if unfinished else []
    tables = [table for table in (main_table(compared), settings_table(compared)) if table is not None]
    if markdown:
        print("\n\n".join([*said, *map(as_markdown, tables)]))
        return
    console = Console(highlight=False)
    for sentence in said:
        console.print(sentence, markup=False)
    for table in tables if everything else [short_table(compared).reset_index()]:
        _print(console, table, wide=everything)


def as_page(compared: Comparison, title: str, missing: Mapping[str, str]) -> str:
    """Return the page of a comparison: recommendation, numbers, figures, and what is missing."""
    settings = settings_table(compared)
    bounds = [bound for measured in compared.measurements for bound in measured.bounds]
    return render(
        "comparison.md.j2",
        title=title,
        conclusions=conclusions(compared),
        missing=missing,
        numbers=as_markdown(main_table(compared)),
        intervals=compared.numbers[bounds].notna().any(axis=None),
        settings=None if settings is None else as_markdown(settings),
        files=ComparisonFolder,
    )


def as_markdown(table: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table, numbers to the right."""
    sides = "".join("l" if name in TEXT else "r" for name in table.columns)
    return markdown_table(list(table.columns), table.itertuples(index=False), sides)


def _print(console: Console, rows: pd.DataFrame, wide: bool) -> None:
    table = Table()
    for name in rows.columns:
        fixed = name not in TEXT or (wide and name != SETTINGS)
        table.add_column(name, justify="left" if name in TEXT else "right", no_wrap=fixed, overflow="fold")
    for row in rows.itertuples(index=False):
        table.add_row(*row)
    if wide and SETTINGS not in rows:
        # A table that is too wide for the terminal should wrap its lines, not squeeze its numbers.
        wanted = Width.get(console, console.options.update(max_width=1000), table).maximum
        console.width = max(console.width, wanted)
    console.print(table)


def _column(values: pd.Series, form: str) -> list[str]:
    return ["" if pd.isna(value) else format(value, form) for value in values]


def _perplexity(value: float, low: float = math.nan, high: float = math.nan) -> str:
    if pd.isna(value):
        return ""
    return shown(value, None if pd.isna(low) else (low, high), digits=1)
