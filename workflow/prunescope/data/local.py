"""Rows of local text files."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunescope.config.places import no_text_files
from prunescope.config.sections.sources import text_files
from prunescope.data.documents import Row, check_columns, kind_of
from prunescope.errors import DataError, first_line
from prunescope.files import LFS_POINTER

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
REPAIR = "repair it or take it out of `local`"
ENCODE = "save it as UTF-8 (`iconv -f UTF-16 -t UTF-8 FILE`, or LATIN1 instead of UTF-16)"
ONE_PER_LINE = """write one object per line, such as {"text": "..."} (of a list: `jq -c '.[]' FILE`)"""


def find_files(pattern: str) -> list[Path]:
    """Return the text files that a glob matches, sorted.

    Raises:
        DataError: it matches none.
    """
    files = text_files(pattern)
    if not files:
        raise DataError(f"`local: {pattern}` {no_text_files(pattern)}")
    return files


def read_file(file: Path, columns: tuple[str, ...], lines: bool = False) -> Iterator[Row]:
    """Yield the rows of a file: a .txt file has one, or its `lines`, in the first column.

    A byte-order mark is left out.

    Raises:
        DataError: the file is not UTF-8, not JSON or not Parquet, or lacks a column; says in which line or row.
    """
    kind = file.suffix.lower()
    try:
        if kind == ".txt":
            text = _read_text(file)
            yield from (Row(str(file), {columns[0]: part}) for part in (text.split("\n") if lines else [text]))
        else:
            yield from (_read_lines if kind == ".jsonl" else _read_parquet)(file, columns)
    except OSError as error:
        raise _unreadable(file, error.strerror or first_line(error)) from error


def _unreadable(file: Path, reason: str, remedy: str = REPAIR) -> DataError:
    return DataError(f"{file} could not be read ({reason}): {remedy}")


def _read_text(file: Path) -> str:
    return _decoded(file.read_bytes(), file).replace("\r\n", "\n").replace("\r", "\n")


def _read_lines(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    first = True
    with file.open("rb") as written:
        for number, line in enumerate(written, 1):
            text = _decoded(line, file, f"line {number} ").strip()
            if text:
                place, values = f"{file}, line {number}", _object(text, file, number)
                check_columns(place, columns, values, first)
                first = False
                yield Row(place, values)


def _object(text: str, file: Path, number: int) -> dict[str, Any]:
    """Return the JSON object of a line."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise _unreadable(file, f"line {number} is nested too deeply") from None
    except ValueError as error:
        remedy = ONE_PER_LINE if text in ("[", "{") else REPAIR
        raise _unreadable(file, f"line {number} is not JSON: {_syntax(error)}", remedy) from error
    if not isinstance(value, dict):
        raise _unreadable(file, f"line {number} is {kind_of(value)}, not an object", ONE_PER_LINE)
    return value


def _syntax(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' starting at')}, column {error.colno}"
    return "a number of thousands of digits"


def _decoded(content: bytes, file: Path, where: str = "it ") -> str:
    if content.startswith(LFS_POINTER):
        raise _unreadable(file, "it is a pointer of Git LFS, not the text", "run `git lfs pull` in its folder")
    if content.startswith(UTF_16):
        raise _unreadable(file, "it is UTF-16", ENCODE)
    if b"\0" in content:
        raise _unreadable(file, f"{where}holds NUL bytes, as UTF-16 and binary files do", ENCODE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{content[error.start]:02x} at position {error.start}"
        raise _unreadable(file, f"{where}is not UTF-8: {byte}", ENCODE) from error


def _read_parquet(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    row = 0
    try:
        with ParquetFile(file) as parquet:
            check_columns(str(file), columns, parquet.schema_arrow.names)
            for batch in parquet.iter_batches(columns=list(columns)):
                for values in batch.to_pylist():
                    yield Row(f"{file}, row {row}", values)
                    row += 1
    except (DataError, OSError):
        raise
    except Exception as error:  # of a damaged file pyarrow raises whatever its bytes lead to
        reason = first_line(error)
        raise _unreadable(file, f"from row {row} on: {reason}" if row else reason) from error
