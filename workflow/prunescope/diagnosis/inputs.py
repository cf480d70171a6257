"""Reading what a diagnosis rests on, from the files of the pipeline or from published numbers."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from prunescope.artifacts.diagnosis import ComparedStability
from prunescope.artifacts.stability import Stability
from prunescope.artifacts.summary import BoundLimit, NegativeDelta
from prunescope.config.messages import sentence
from prunescope.config.sections import Limits
from prunescope.criteria import CRITERIA
from prunescope.diagnosis.evidence import COUNTS, RATES, STATISTICS, Rates, Statistics
from prunescope.errors import DataError
from prunescope.files import read_json


def compared_stability(found: Stability, criterion: str) -> ComparedStability | None:
    """Return the stability of a criterion, or of the one that stands for it.

    None where it has none: nothing of a ranking by weights or whole layers is compared.
    """
    wanted = CRITERIA[criterion].stability
    compared = found.others | {found.criterion: found.layers}
    if wanted is None or wanted not in compared:
        return None
    return ComparedStability(criterion=wanted, samples=found.samples, layers=compared[wanted])


def read_statistics(path: Path) -> Statistics:
    """Read `gradient_statistics.json`; its `layers` are enough, and of them any of `STATISTICS`.

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
    # Beside parameters a file may hold remarks, such as where its numbers are from.
    parameters = {name: series for name, series in content.items() if isinstance(series, dict)}
    return Statistics(
        layers=frame,
        non_finite=tuple(name for name, series in parameters.items() if not all(map(_all_finite, series.values()))),
        non_finite_layers=tuple(sorted(broken)),
    )


def read_rates(path: Path) -> Rates:
    """Read `pruning_summary.json`, or the rows of its layers as JSON or CSV (the suffix decides).

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
        limits=_limits(summary, path),
        bound=tuple(BoundLimit(**bound) for bound in summary.get("bound", ())),
        collapsed=tuple(summary.get("collapsed", ())),
        negative_deltas=tuple(NegativeDelta(**delta) for delta in summary.get("negative_deltas", ())),
    )


def _limits(summary: dict[str, Any], path: Path) -> Limits | None:
    try:
        return Limits.model_validate(summary["limits"]) if "limits" in summary else None
    except ValidationError as error:
        raise DataError(sentence(error, Limits, f"{path}: limits")) from None


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


def _all_finite(values: Iterable[float | None]) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)
