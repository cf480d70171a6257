"""Numbers as programs and people write them, and rates in fractions or percent."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.errors import DataError

UNKNOWN = ("", "-", "na", "n/a", "nan", "none", "null")
ROUNDING = 1e-6
"""How far above one, or above the whole of a block, a number may be by rounding."""
RATE = "a rate is a fraction from 0 to 1 or a percentage from 0 to 100"


@dataclass(frozen=True)
class Cell:
    """A rate as written: its number (NaN: unknown), whether it says that it is a percentage, and where it is."""

    value: float
    percent: bool
    where: str


def read_number(value: Any, where: str) -> float:
    """Return a number or the number in a text, which may have a decimal comma; NaN where it is unknown.

    Raises:
        DataError: it is something else; says `where`.
    """
    if value is None:
        return math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in UNKNOWN:
            return math.nan
        # Of digits alone Python also reads `1_000` and those of other scripts.
        if re.fullmatch(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?|[-+]?inf(inity)?", text, re.ASCII | re.IGNORECASE):
            return float(text.replace(",", "."))
    raise DataError(f"{where}: {value!r:.40} is no number")


def read_count(value: Any, where: str) -> float:
    """Return a count of parameters, which may have separators of thousands; NaN where it is unknown.

    Raises:
        DataError: it is no whole number from 0 on; says `where`.
    """
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}([,_ ]\d{3})+", value.strip(), re.ASCII):
        value = re.sub(r"\D", "", value)
    number = read_number(value, where)
    if not (math.isnan(number) or (0 <= number < 1e15 and number == int(number))):
        raise DataError(f"{where}: {value!r:.40} is no number of parameters; allowed: whole numbers from 0 on")
    return number


def read_rate(value: Any, percent: bool, where: str) -> Cell:
    """Return a rate as written; `percent`: the name of its column says that it is a percentage.

    Raises:
        DataError: it is no rate; says `where`.
    """
    text = value.strip() if isinstance(value, str) else ""
    number = read_number(text[:-1] if text.endswith("%") else value, where)
    if not (math.isnan(number) or 0 <= number <= 100 * (1 + ROUNDING)):
        raise DataError(f"{where} is {value!s:.40}; {RATE}")
    return Cell(number, percent or text.endswith("%"), where)


def as_fractions(columns: Mapping[str, Mapping[int, Cell]]) -> tuple[dict[str, dict[int, float]], bool]:
    """Return rates as fractions by column and layer, and whether they were taken for percentages.

    Where nothing says what they are, one above 1 makes all of them percentages.

    Raises:
        DataError: some seem to be fractions and others percentages.
    """
    cells = [cell for column in columns.values() for cell in column.values() if not math.isnan(cell.value)]
    bare = [cell for cell in cells if not cell.percent]
    said = len(bare) < len(cells)
    above = max((cell for cell in bare if cell.value > 1 + ROUNDING), key=lambda cell: cell.value, default=None)
    if above is not None:
        _check_one_unit(columns, above)
    elif said and (fraction := next((cell for cell in bare if cell.value > 0), None)):
        other = next(cell for cell in cells if cell.percent)
        raise DataError(
            f"{fraction.where} is {fraction.value:g}, and {other.where} is a percentage; write all rates in one unit"
        )
    percent = said or above is not None
    fractions = {
        name: {layer: min(cell.value / (100 if percent else 1), 1.0) for layer, cell in column.items()}
        for name, column in columns.items()
    }
    return fractions, percent


def _check_one_unit(columns: Mapping[str, Mapping[int, Cell]], above: Cell) -> None:
    """Refuse a column of what look like fractions beside one of percentages."""
    for column in columns.values():
        bare = [cell for cell in column.values() if cell.value > 0 and not cell.percent]
        highest = max(bare, key=lambda cell: cell.value, default=None)
        if highest is not None and highest.value < 1:
            raise DataError(
                f"{above.where} is {above.value:g}, a percentage, and {highest.where} is at most {highest.value:g}, as "
                "fractions are; write all rates as fractions, or every percentage with %"
            )


def finite(values: Iterable[float]) -> bool:
    """Say whether all values are known and finite."""
    return all(map(math.isfinite, values))
