"""Pruning rates in a file of any program: of layers, or of their blocks."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.artifacts.facts import KINDS
from prunescope.diagnosis.evidence import COUNTS, RATES
from prunescope.diagnosis.replay_forms import BLOCKS, RATE_COLUMNS, Row, column_of, rows_of, says_percent
from prunescope.diagnosis.replay_numbers import ROUNDING, Cell, as_fractions, read_count, read_rate
from prunescope.errors import DataError

SAYS = f"needs a column 'layer' and one or more of {', '.join(RATES)}"


def rates_of(content: Any, path: Path) -> tuple[pd.DataFrame, bool]:
    """Return the rates in the content of a file, and whether they were percentages.

    Returns:
        A row per layer (index `layer`), columns `RATES` in [0, 1] and `COUNTS`, NaN where unknown.

    Raises:
        DataError: there are none, one cannot be, or a layer is there twice.
    """
    rates: dict[str, dict[int, Cell]] = {name: {} for name in RATES}
    counts: dict[str, dict[int, float]] = {name: {} for name in COUNTS}
    for row in rows_of(content, RATE_COLUMNS, path):
        _read(row, rates, counts)
    layers = set().union(*rates.values(), *counts.values())
    if not layers:
        raise DataError(f'{path} {SAYS}; or an object of rates by layer, such as {{"0": 0.2}}')
    fractions, percent = as_fractions(rates)
    frame = pd.DataFrame({**fractions, **counts}, index=pd.Index(sorted(layers), name="layer"), dtype=float)
    _check_counts(frame, path)
    for kind in KINDS:  # a file may give the counts alone
        counted = frame[f"{kind}_removed"] / frame[f"{kind}_params"]
        frame[f"{kind}_rate"] = frame[f"{kind}_rate"].fillna(counted.where(frame[f"{kind}_params"] > 0))
    if frame[list(RATES)].isna().all(axis=None):
        raise DataError(f"{path}: all rates are empty, so that there is nothing to diagnose")
    return frame[[*RATES, *COUNTS]], percent


def _read(row: Row, rates: dict[str, dict[int, Cell]], counts: dict[str, dict[int, float]]) -> None:
    """Note what a row says in the columns that it is of."""
    found: dict[str, str] = {}
    for name in row.values:
        column = _column(name, row)
        # Of two names for one thing the plain one counts.
        if column is not None and (column not in found or name == column):
            found[column] = name
    if found and row.part and row.block is None:
        raise DataError(
            f"{row.where}: rates are of layers or of their blocks ({', '.join(BLOCKS)}), not of single weights"
        )
    for column, name in found.items():
        assert row.layer is not None
        value, where = row.values[name], f"{row.where}: {name or column:.40}"
        noted: dict[int, Cell] | dict[int, float] = rates[column] if column in rates else counts[column]
        if row.layer in noted:
            raise DataError(f"{where}: layer {row.layer} is there twice; give each layer once")
        if column in rates:
            rates[column][row.layer] = read_rate(value, says_percent(name), where)
        else:
            counts[column][row.layer] = read_count(value, where)


def _column(name: str, row: Row) -> str | None:
    """Return which column a value of a row is of; a total or a nameless value in the row of a block is the block's."""
    if row.layer is None:
        return None
    column = column_of(name, RATE_COLUMNS) if name else "rate"
    if column == "rate" and row.block is not None:
        return f"{row.block}_rate"
    if column is None and row.block is not None:
        return next((known for known in COUNTS if column_of(f"{row.block}_{name}", RATE_COLUMNS) == known), None)
    return column


def _check_counts(frame: pd.DataFrame, path: Path) -> None:
    for kind in KINDS:
        above = frame.index[frame[f"{kind}_removed"] > frame[f"{kind}_params"]]
        if len(above):
            layer = above[0]
            raise DataError(
                f"{path}: layer {layer}: {kind}_removed is {frame.at[layer, f'{kind}_removed']:.0f}, of "
                f"{kind}_params {frame.at[layer, f'{kind}_params']:.0f}; no more can go than is there"
            )
        wrong = frame[f"{kind}_rate"] - frame[f"{kind}_removed"] / frame[f"{kind}_params"]
        if math.isnan(wrong.abs().max()) or wrong.abs().max() <= 0.01 + ROUNDING:
            continue
        layer = wrong.abs().idxmax()
        raise DataError(
            f"{path}: layer {layer}: {kind}_rate is {frame.at[layer, f'{kind}_rate']:g}, but of "
            f"{frame.at[layer, f'{kind}_params']:.0f} parameters {frame.at[layer, f'{kind}_removed']:.0f} are removed"
        )
