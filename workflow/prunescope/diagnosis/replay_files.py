"""The content of a file of numbers of any program: JSON, JSON lines, or a table with any usual separator."""

import codecs
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunescope.errors import DataError
from prunescope.files import note_read

SEPARATORS = ("\t", ";", ",", "|")
FORMS = (
    "expected JSON, JSON lines, or a CSV table with a line of column names; if it is the file of a step, delete it and "
    "run its step again"
)
# With a mark at its start a file says itself what it is; Excel and PowerShell write UTF-16.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_document(path: Path) -> Any:
    """Return what a file holds: a JSON value; JSON lines as a list; a table as a list of rows by column name.

    Raises:
        DataError: it is missing, cannot be read, is empty or of none of these forms, or holds a key twice.
    """
    text = _read_text(path)
    if not text.strip():
        raise DataError(f"{path} is empty, not a CSV table and not JSON; {FORMS}")
    if text.lstrip()[0] in "{[":
        return _read_json(text, path)
    return _read_table(text, path)


def _read_text(path: Path) -> str:
    note_read(path)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is not there; run the step that makes it first, or correct the name") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name the file in it") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text in UTF-8; {FORMS}") from None
    if "\0" in text:
        raise DataError(f"{path} is no text; {FORMS}")
    return text


def _read_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except RecursionError:
        raise DataError(f"{path} is nested too deeply to be a file of numbers; {FORMS}") from None
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if len(lines) > 1:
                return [json.loads(line, object_pairs_hook=_without_twins) for line in lines]
        except (ValueError, RecursionError):
            pass
        raise DataError(f"{path} is not JSON ({error}); {FORMS}") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary, in which a key that comes twice would silently lose its first value."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key '{name:.40}' is there twice")
        found[name] = value
    return found


def _read_table(text: str, path: Path) -> list[dict[str, Any]]:
    lines = [line for line in text.splitlines() if line.strip()]
    separator = max(SEPARATORS, key=lines[0].count)
    if separator not in lines[0]:
        separator = " "
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        header, *rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table: {error}; {FORMS}") from None
    _check_columns(header, path)
    return [_row(header, row, f"{path}: row {number}") for number, row in enumerate(rows, 1)]


def _check_columns(header: Sequence[str], path: Path) -> None:
    twins = sorted({name for name in header if name and header.count(name) > 1})
    if twins:
        raise DataError(f"{path} has two columns '{twins[0]:.40}'; name each column once")


def _row(header: Sequence[str], row: Sequence[str], where: str) -> dict[str, Any]:
    if len(row) > len(header) and any(row[len(header) :]):
        raise DataError(
            f"{where} has {len(row)} values for {len(header)} columns; write each decimal number in one cell"
        )
    return dict(zip(header, row, strict=False))
