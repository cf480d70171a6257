"""What a diagnosis rests on: gradient statistics, pruning rates and, when there is a table, importance."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.errors import DataError
from prunescope.files import read_json

STATISTICS = ("mean", "std", "norm", "max", "min")
RATES = ("attention_rate", "mlp_rate", "rate")
COUNTS = ("attention_params", "attention_removed", "mlp_params", "mlp_removed")


@dataclass(frozen=True)
class Statistics:
    """Gradient statistics of |g|.

    Attributes:
        layers: one row per layer (index `layer`), columns `STATISTICS`; NaN where a value was not finite.
        non_finite: names of the parameters with a value that was not finite.
        non_finite_layers: the layers of which an aggregate was not finite.
    """

    layers: pd.DataFrame
    non_finite: tuple[str, ...]
    non_finite_layers: tuple[int, ...]


@dataclass(frozen=True)
class Bound:
    """A limit that kept groups which the score alone would have removed; `blocks` such as ``3.mlp``."""

    limit: str
    blocks: tuple[str, ...]

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({int(block.split(".")[0]) for block in self.blocks}))


@dataclass(frozen=True)
class NegativeDelta:
    """A block whose removal lowered the loss; selection clamps the value to zero."""

    layer: int
    block: str
    delta: float


@dataclass(frozen=True)
class Rates:
    """What selection decided.

    Attributes:
        layers: one row per layer (index `layer`), columns `RATES` (in [0, 1]) and `COUNTS` (parameters);
            NaN where unknown.
        model, experiment: names, empty when unknown (CSV). target_ratio: of all parameters, or None.
        bound: limits that bound. negative_deltas: removal losses below zero.
    """

    layers: pd.DataFrame
    model: str = ""
    experiment: str = ""
    target_ratio: float | None = None
    bound: tuple[Bound, ...] = ()
    negative_deltas: tuple[NegativeDelta, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Statistics, rates and importance joined by layer.

    Attributes:
        layers: one row per layer (index `layer`), columns `STATISTICS`, `RATES`, `COUNTS` and `importance`;
            NaN where unknown.
    """

    layers: pd.DataFrame
    statistics: Statistics
    rates: Rates


def read_evidence(statistics: Path, rates: Path, table: Path | None = None) -> Evidence:
    """Read `gradient_statistics.json`, `pruning_summary.json` (or `.csv`) and, if given, the table.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    importance = layer_importance(read_table(table)) if table else None
    return join_evidence(read_statistics(statistics), read_rates(rates), importance)


def join_evidence(statistics: Statistics, rates: Rates, importance: pd.Series | None = None) -> Evidence:
    """Join by layer; a layer that one of them lacks stays, with NaN."""
    layers = statistics.layers.join(rates.layers, how="outer")
    layers["importance"] = math.nan if importance is None else importance.reindex(layers.index)
    return Evidence(layers.sort_index(), statistics, rates)


def layer_importance(table: pd.DataFrame) -> pd.Series:
    """Return the importance of each layer: the mean score of its groups, weighted by their cost.

    A score is per parameter, so that the weighted mean is the layer's score as one big group:
    ``sum(score * cost) / sum(cost)`` over attention and MLP groups together. Shape [layers].
    """
    weighted = (table["score"] * table["cost"]).groupby(table["layer"]).sum()
    return (weighted / table.groupby("layer")["cost"].sum()).rename("importance")


def read_table(path: Path) -> pd.DataFrame:
    """Read `importance_table.parquet`, a row per group."""
    if not path.is_file():
        raise DataError(f"no importance table at {path}; run the importance step first")
    return pd.read_parquet(path)


def read_statistics(path: Path) -> Statistics:
    """Read `gradient_statistics.json`.

    Raises:
        DataError: the file is missing, is not JSON, or has no `layers`.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content.get("layers"):
        raise DataError(f"{path} has no 'layers'; expected the format of gradient_statistics.json")
    aggregates = {int(layer): values for layer, values in content.pop("layers").items()}
    frame = pd.DataFrame.from_dict(aggregates, orient="index").reindex(columns=STATISTICS).astype(float)
    frame = frame.where(frame.abs() < math.inf).rename_axis("layer").sort_index()
    broken = (layer for layer, values in aggregates.items() if not _all_finite(values.values()))
    return Statistics(
        layers=frame,
        non_finite=tuple(name for name, series in content.items() if not _series_finite(series)),
        non_finite_layers=tuple(sorted(broken)),
    )


def read_rates(path: Path) -> Rates:
    """Read `pruning_summary.json`, or the rows of its layers as CSV (the suffix decides).

    Raises:
        DataError: the file is missing, or has no layers or no rates.
    """
    if path.suffix == ".csv":
        return Rates(_rates_frame(_read_csv(path), path))
    content = read_json(path)
    rows = content.get("layers", []) if isinstance(content, dict) else content
    summary = content if isinstance(content, dict) else {}
    return Rates(
        layers=_rates_frame(pd.DataFrame(rows), path),
        model=summary.get("model", ""),
        experiment=summary.get("experiment", ""),
        target_ratio=summary.get("target_ratio"),
        bound=tuple(Bound(bound["limit"], tuple(bound["blocks"])) for bound in summary.get("bound", ())),
        negative_deltas=tuple(NegativeDelta(**delta) for delta in summary.get("negative_deltas", ())),
    )


def _rates_frame(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    if "layer" not in rows or not set(RATES) & set(rows):
        raise DataError(f"{path} needs a column 'layer' and one or more of {', '.join(RATES)}")
    frame = rows.set_index("layer").reindex(columns=[*RATES, *COUNTS])
    return frame.astype(float).sort_index()


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path} is not there; run the step that makes it first") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is not a CSV table: {error}") from None


def _all_finite(values: Any) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def _series_finite(series: dict[str, list[float | None]]) -> bool:
    return all(_all_finite(values) for values in series.values())
