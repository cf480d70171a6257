"""The forms in which programs write numbers of layers, brought to rows: a layer, a block or parameter of it, values.

A file holds a list of rows, or an object of them by layer or by the name of a parameter, or an object of columns; it
may hold one of these under a key such as ``layers`` or ``statistics``.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.artifacts.facts import BlockKind
from prunescope.errors import DataError

MOST_LAYERS = 10_000
WRAPPERS = re.compile(
    r"layers|per_layer|layer_(statistics|stats|rates)|parameters|params|((gradient|grad)_)?(statistics|stats)|gradients"
    r"|grads|(pruning_)?rates|pruning|(pruning_)?summary|results|data"
)
LAYER = re.compile(r"(decoder_)?(layer|block)s?(_(idx|index|id|no|num|number))?|层|层号")
NAME = re.compile(r"(parameter|param|weight|module|layer)?_?name|parameter|param|module")
KIND = re.compile(r"(block|module|component|part)?_?(type|kind)|block|module|component|part")
SUMS = ("total", "all", "overall", "mean", "average", "avg", "sum", "model")
"""What a row is called that is of no layer."""
BLOCKS: dict[BlockKind, str] = {
    "attention": r"(self_)?(attention|attn)|mha",
    "mlp": r"mlp|ffn|feed_forward",
}
IN_NAME = re.compile(r"(?:^|\.)(?:layers?|blocks?|h|decoder_layer)[._ -]?(\d+)(?:\.(.+))?$|^(\d+)(?:\.(\D.*))?$", re.I)

_HOW = (
    r"((pruning|prune|pruned|removal|removed)_)?(rate|ratio|sparsity|fraction|percent|percentage|pct)s?(_percent|_pct)?"
)
_OF = r"((abs|absolute)_)?((grad|gradient|gradients|g)_)?((abs|absolute)_)?"
_WHAT = r"(_abs)?(_(grad|gradient|gradients|g))?"
RATE_COLUMNS = {
    **{f"{kind}_rate": rf"({names})(_{_HOW})?" for kind, names in BLOCKS.items()},
    "rate": rf"((total|overall|layer)_)?{_HOW}|total|overall",
    **{f"{kind}_params": rf"({names})_(params|parameters)" for kind, names in BLOCKS.items()},
    **{f"{kind}_removed": rf"({names})_(removed|pruned_params|removed_params)" for kind, names in BLOCKS.items()},
}
"""What a row may say of a rate, and how programs call it."""
STATISTIC_COLUMNS = {
    "mean": rf"{_OF}(mean|avg|average){_WHAT}",
    "std": rf"{_OF}(std|std_dev|stddev|stdev){_WHAT}",
    "norm": rf"{_OF}((l2_)?norm|norm_l2|l2){_WHAT}",
    "max": rf"{_OF}(max|maximum){_WHAT}",
    "min": rf"{_OF}(min|minimum){_WHAT}",
    "size": r"((num|n)_)?(params|parameters|elements)|numel|size|count|shape",
}
"""What a row may say of a gradient, and how programs call it."""


@dataclass(frozen=True)
class Row:
    """What a file says of a layer, or of a block or parameter of it.

    Attributes:
        where: file and place, for sentences. name: as written, empty where the place in a list says the layer.
        layer: None: of a parameter outside of the layers. part: what follows the layer in its name, empty for a whole
            layer.
        values: by the names of the columns as written; "": a number that has none.
    """

    where: str
    name: str
    layer: int | None
    part: str
    values: Mapping[str, Any]

    @property
    def block(self) -> BlockKind | None:
        """The block that the row is of, None where it is of a layer or a parameter."""
        return block_of(self.part)


def rows_of(content: Any, columns: Mapping[str, str], path: Path) -> list[Row]:
    """Return the rows of a file in any form.

    Args:
        columns: `RATE_COLUMNS` or `STATISTIC_COLUMNS`.

    Raises:
        DataError: a row is none, or of no layer that can be.
    """
    try:
        return list(_rows(content, columns, str(path)))
    except RecursionError:
        raise DataError(f"{path} is nested too deeply to be a file of numbers") from None


def column_of(name: str, columns: Mapping[str, str]) -> str | None:
    """Return what a column holds, None where its name is unknown."""
    written = snake(name)
    return next((column for column, pattern in columns.items() if re.fullmatch(pattern, written)), None)


def block_of(name: str) -> BlockKind | None:
    """Return the block that a name such as ``mlp`` or ``self_attn`` is of, None where it is none's."""
    written = snake(name)
    return next((kind for kind, names in BLOCKS.items() if re.fullmatch(names, written)), None)


def says_percent(name: str) -> bool:
    """Say whether the name of a column says that it holds percentages."""
    return "%" in name or bool(re.search(r"(^|_)(percent|percentage|pct)s?$", snake(name)))


def snake(name: str) -> str:
    """Return a name in small letters with underlines: ``layerIdx`` and ``Layer idx (%)`` are ``layer_idx``."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", split.lower()).strip("_")


def _rows(content: Any, columns: Mapping[str, str], where: str) -> Iterator[Row]:
    if isinstance(content, list):
        yield from _listed(content, where)
    elif isinstance(content, dict):
        yield from _keyed(content, columns, where)


def _listed(content: Sequence[Any], where: str) -> Iterator[Row]:
    """Yield the rows of a list; where none says its layer, the first is of layer 0."""
    rows = [row if isinstance(row, dict) else {"": row} for row in content]
    names = list({name: None for row in rows for name in row})
    kind = next((name for name in names if KIND.fullmatch(snake(name)) and _all_blocks(rows, name)), None)
    layer, name = (
        next((column for column in names if pattern.fullmatch(snake(column)) and column != kind), None)
        for pattern in (LAYER, NAME)
    )
    if layer is None and name is None:
        # Where pandas wrote its index, the first column has no name.
        layer = next(
            (column for column in names if column in ("", "Unnamed: 0", "index", "idx") and len(names) > 1), None
        )
    for number, row in enumerate(rows):
        place = f"{where}: row {number + 1}"
        if layer is None and name is None:
            yield Row(place, "", number, "", _flat(row))
            continue
        label = next(
            (row[column] for column in (layer, name) if column is not None and row.get(column) is not None), ""
        )
        if str(label).strip().lower() in SUMS:
            continue
        yield _row(place, label, "" if kind is None else str(row.get(kind) or ""), row)


def _all_blocks(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Say whether a column names the blocks that its rows are of; empty: of the whole layer."""
    found = {str(row.get(column) or "") for row in rows} - {""}
    return bool(found) and all(block_of(name) for name in found)


def _row(where: str, label: Any, kind: str, row: Any) -> Row:
    values = _flat(row) if isinstance(row, dict) else {"": row}
    found = _place(label)
    if found is None:
        named = f"'{label!s:.60}'" if str(label).strip() else "nothing"
        raise DataError(f"{where}: layer {named} is no layer; expected a number from 0 on, or a name with one")
    return Row(where, str(label), _checked(found[0], where), found[1] or kind, values)


def _keyed(content: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Iterator[Row]:
    """Yield the rows of an object: by layer or parameter, as columns, or under a key that says what it holds."""
    transposed = _transposed(content, columns, where)
    if transposed is not None:
        yield from transposed
        return
    for name, value in content.items():
        place = f"{where}: {name:.80}"
        if _place(name) is not None:
            yield _row(place, name, "", value)
        elif WRAPPERS.fullmatch(snake(name)) and isinstance(value, (dict, list)):
            yield from _rows(value, columns, place)
        elif isinstance(value, dict) and any(column_of(key, columns) for key in value):
            yield Row(place, name, None, name, _flat(value))


def _transposed(content: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Iterator[Row] | None:
    """Return the rows of an object of columns, which are lists or objects by layer; None where it is none."""
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    if any(LAYER.fullmatch(snake(name)) and not any(isinstance(cell, dict) for cell in lists[name]) for name in lists):
        return _listed(_zipped(lists, where), where)
    known = {name: value for name, value in content.items() if column_of(name, columns)}
    if not known or not all(map(_is_column, known.values())):
        return None
    by_layer = {name: value for name, value in known.items() if isinstance(value, dict)}
    if len(by_layer) == len(known):
        if not all(_place(key) for column in by_layer.values() for key in column):
            return None
        labels = dict.fromkeys(label for column in by_layer.values() for label in column)
        rows = {
            label: {name: column[label] for name, column in by_layer.items() if label in column} for label in labels
        }
        return (_row(f"{where}: {label:.80}", label, "", row) for label, row in rows.items())
    if by_layer or any(_place(name) for name in content):
        return None
    return _listed(_zipped(lists, where), where)


def _is_column(values: Any) -> bool:
    cells = values.values() if isinstance(values, dict) else values
    return isinstance(values, (dict, list)) and not any(isinstance(cell, dict) for cell in cells)


def _zipped(lists: Mapping[str, list[Any]], where: str) -> list[dict[str, Any]]:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name:.40} has {length}" for name, length in list(lengths.items())[:4])
        raise DataError(f"{where}: the lists are of different lengths ({said}); give one value per layer in each")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _place(label: Any) -> tuple[int, str] | None:
    """Return the layer that a label such as ``3``, ``layer_3`` or ``model.layers.3.mlp`` names and what follows it."""
    if (isinstance(label, float) and label.is_integer()) or (isinstance(label, int) and not isinstance(label, bool)):
        return int(label), ""
    if not isinstance(label, str):
        return None
    if re.fullmatch(r"-?\d{1,18}(\.0+)?", label.strip(), re.ASCII):
        return int(float(label)), ""
    found = IN_NAME.search(label.strip())
    if found is None or len(digits := found[1] or found[3]) > 18:
        return None
    return int(digits), found[2] or found[4] or ""


def _checked(layer: int, where: str) -> int:
    if not 0 <= layer < MOST_LAYERS:
        raise DataError(f"{where}: there is no layer {layer}; layers are numbered from 0 on, below {MOST_LAYERS:,}")
    return layer


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a row, nested ones under joined names: of ``{"mlp": {"rate": 1}}`` `mlp_rate`."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}_") if isinstance(value, dict) else {prefix + name: value}
    return flat


def product(value: Any) -> Any:
    """Return the size that a shape such as ``[4096, 11008]`` says; anything else as it is."""
    if isinstance(value, list) and value and all(type(side) is int and 0 <= side < 2**31 for side in value):
        return math.prod(value)
    return value
