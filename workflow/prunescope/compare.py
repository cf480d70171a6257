"""Experiments side by side: what was cut, how evenly, and what it cost in perplexity."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from prunescope.files import read_json


def read_row(directory: Path) -> dict[str, str | float]:
    """Return one experiment's figures; rates in percent, perplexity of the pruned model per text and protocol."""
    summary = read_json(directory / "analysis/pruning_summary.json")
    diagnosis = read_json(directory / "analysis/gradient_diagnosis.json")
    perplexity = read_json(directory / "evaluation/perplexity.json")
    rates = [layer["rate"] for layer in summary["layers"]]
    row: dict[str, str | float] = {
        "experiment": directory.name,
        "removed %": 100 * summary["ratio_of_total"],
        "attention %": 100 * summary["attention_rate"],
        "MLP %": 100 * summary["mlp_rate"],
        "max layer %": 100 * max(rates),
        "spread %": 100 * (max(rates) - min(rates)),
        "extreme layers": diagnosis["num_extreme_layers"],
    }
    for dataset, protocols in perplexity["pruned"].items():
        row |= {f"{dataset} {protocol}": result["perplexity"] for protocol, result in protocols.items()}
    return row


def read_dense(directory: Path) -> dict[str, str | float]:
    """Return the unpruned model's figures, as a row beside those of the experiments."""
    baseline = read_json(directory / "evaluation/perplexity.json")["baseline"]
    row: dict[str, str | float] = {"experiment": "(unpruned)"}
    for dataset, protocols in baseline.items():
        row |= {f"{dataset} {protocol}": result["perplexity"] for protocol, result in protocols.items()}
    return row


def comparison(directories: Iterable[Path]) -> pd.DataFrame:
    """Return a row per experiment, the unpruned model first; shared folders (``_...``) are passed over."""
    directories = [directory for directory in directories if not directory.name.startswith("_")]
    experiments = pd.DataFrame([read_row(directory) for directory in directories])
    dense = pd.DataFrame([read_dense(directories[0])])
    return pd.concat([dense, experiments], ignore_index=True)[experiments.columns]


def print_comparison(frame: pd.DataFrame, markdown: bool) -> None:
    """Print a comparison as a table for the terminal, or as Markdown."""
    cells = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    if markdown:
        lines = [frame.columns, ["---", *["---:"] * (len(frame.columns) - 1)], *cells]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    table = Table()
    for number, name in enumerate(frame.columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    console = Console()
    # A table that is too wide for the terminal should wrap its lines, not squeeze its numbers.
    console.width = max(console.width, Measurement.get(console, console.options.update(max_width=1000), table).maximum)
    console.print(table)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:.1f}"
