"""Statistics of gradients in a file of any program: of layers or, pooled by us, of their parameters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prunescope.diagnosis.evidence import STATISTICS
from prunescope.diagnosis.replay_forms import STATISTIC_COLUMNS, Row, column_of, product, rows_of
from prunescope.diagnosis.replay_numbers import finite, read_count, read_number
from prunescope.errors import DataError
from prunescope.importance.pooling import pool

Series = dict[str, list[float]]
"""By statistic a value per batch; what is not finite in the file is NaN."""


@dataclass(frozen=True)
class Gradients:
    """The statistics of a file.

    Attributes:
        layers: by layer and statistic, averaged over the batches; NaN where a value was not finite.
        non_finite: names of the parameters with a value that was not finite. unweighted: whether parameters were
            pooled whose sizes are unknown, so that all counted the same.
    """

    layers: dict[int, dict[str, float]]
    non_finite: tuple[str, ...]
    unweighted: bool = False


def gradients_of(content: object, path: Path) -> Gradients:
    """Return the statistics in the content of a file: those of its layers or, where it has none, of its parameters.

    Raises:
        DataError: there are none, a value is none of |g|, a layer is there twice, or no value is finite.
    """
    rows = rows_of(content, STATISTIC_COLUMNS, path)
    measured = [(row, series) for row in rows if (series := _series(row))]
    of_layers = [(row, series) for row, series in measured if row.layer is not None and not row.part]
    parameters = [(row, series) for row, series in measured if row.part]
    if not of_layers and all(row.layer is None for row, _ in parameters):
        raise DataError(
            f"{path} has no 'layers' with {', '.join(STATISTICS[:3])} ..., and no parameters such as "
            "'model.layers.3.mlp.up_proj.weight' with them; expected statistics of |g| by layer or by parameter, as in "
            "gradient_statistics.json"
        )
    broken = tuple(row.name for row, series in parameters if not all(map(finite, series.values())))
    unweighted = False
    if of_layers:
        layers = _by_layer(of_layers)
    else:
        layers, unweighted = _pooled(parameters)
    layers = {
        layer: {name: value if math.isfinite(value) else math.nan for name, value in values.items()}
        for layer, values in layers.items()
    }
    if not any(finite([value]) for values in layers.values() for value in values.values()):
        raise DataError(f"{path}: no statistic of any layer is a finite number, so that there is nothing to diagnose")
    return Gradients(layers, broken, unweighted)


def _series(row: Row) -> Series:
    """Return the statistics of a row by their names here; a number without a name is none."""
    found: Series = {}
    for name, value in row.values.items():
        statistic = column_of(name, STATISTIC_COLUMNS) if name else None
        if statistic is None or statistic in found or (isinstance(value, str) and not value.strip()):
            continue
        where = f"{row.where}: {name:.40}"
        if statistic == "size":
            found["size"] = [read_count(product(value), where)]
            continue
        numbers = [read_number(one, where) for one in (value if isinstance(value, list) else [value])]
        if any(number < 0 for number in numbers):
            raise DataError(
                f"{where} is {min(numbers):g}, but statistics are of |g|, which is never negative; take the absolute "
                "gradient first"
            )
        if numbers:
            found[statistic] = [number if math.isfinite(number) else math.nan for number in numbers]
    return found if found.keys() - {"size"} else {}


def _by_layer(rows: Iterable[tuple[Row, Series]]) -> dict[int, dict[str, float]]:
    layers: dict[int, dict[str, float]] = {}
    for row, series in rows:
        assert row.layer is not None
        if row.layer in layers:
            raise DataError(f"{row.where}: layer {row.layer} is there twice; give each layer once")
        layers[row.layer] = {name: sum(values) / len(values) for name, values in series.items() if name != "size"}
    return layers


def _pooled(rows: Iterable[tuple[Row, Series]]) -> tuple[dict[int, dict[str, float]], bool]:
    """Pool the parameters of each layer, as the gradient step does; also say whether a size was unknown."""
    members: dict[int, dict[str, tuple[Row, Series]]] = {}
    for row, series in rows:
        if row.layer is None:
            continue
        of_layer = members.setdefault(row.layer, {})
        if row.part in of_layer:
            raise DataError(f"{row.where}: layer {row.layer} has '{row.part:.60}' twice; give each parameter once")
        of_layer[row.part] = row, series
    layers, unweighted = {}, False
    for layer, parameters in members.items():
        arrays = _arrays(list(parameters.values()))
        sizes = _sizes([series for _, series in parameters.values()])
        unweighted |= sizes is None and len(parameters) > 1
        with np.errstate(all="ignore"):  # squares of absurd numbers; what is not finite is told
            layers[layer] = pool(arrays, None if sizes is None else np.broadcast_to(sizes[:, None], _shape(arrays)))
    return layers, unweighted


def _shape(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    return next(iter(arrays.values())).shape


def _arrays(parameters: Sequence[tuple[Row, Series]]) -> dict[str, np.ndarray]:
    """Return the statistics that all parameters of a layer have, float64 ``[parameters, batches]``."""
    first_row, first = parameters[0]
    batches = {len(values) for name, values in first.items() if name != "size"}
    for row, series in parameters:
        lengths = {len(values) for name, values in series.items() if name != "size"}
        if len(batches | lengths) > 1:
            said = " and ".join(map(str, sorted(batches | lengths)))
            raise DataError(
                f"{row.where}: its layer has {said} values per statistic; give one number, or one for each batch"
            )
    common = [name for name in STATISTICS if all(name in series for _, series in parameters)]
    if not common:
        raise DataError(f"{first_row.where}: its layer has no statistic that all of its parameters have")
    return {name: np.array([series[name] for _, series in parameters]) for name in common}


def _sizes(parameters: Sequence[Series]) -> np.ndarray | None:
    """Return how many values each parameter has, float64 ``[parameters]``; None where one of them does not say."""
    sizes = [_size(series) for series in parameters]
    return np.array(sizes) if all(size > 0 for size in sizes) else None


def _size(series: Series) -> float:
    """Return the size of a parameter: as given, or from its statistics: norm^2 = size (std^2 + mean^2); 0: unknown."""
    if "size" in series:
        return series["size"][0] if finite(series["size"]) else 0.0
    if not {"mean", "std", "norm"} <= series.keys():
        return 0.0
    mean, std, norm = (np.array(series[name]) for name in ("mean", "std", "norm"))
    with np.errstate(all="ignore"):
        found = norm**2 / (std**2 + mean**2)
    known = found[np.isfinite(found)]
    return float(np.median(known).round()) if len(known) else 0.0
