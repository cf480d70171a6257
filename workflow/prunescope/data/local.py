"""Rows of local text files."""

import json
from collections.abc import Iterator
from pathlib import Path

from prunescope.config.sections.sources import TEXT_FILES, text_files
from prunescope.data.documents import Row, check_columns
from prunescope.errors import DataError


def find_files(pattern: str) -> list[Path]:
    """Return the text files that a glob matches, sorted.

    Raises:
        DataError: it matches none.
    """
    files = text_files(pattern)
    if not files:
        raise DataError(
            f"`local: {pattern}` matches no {', '.join(TEXT_FILES)} file (seen from {Path.cwd()}): correct the pattern"
        )
    return files


def read_file(file: Path, columns: tuple[str, ...], lines: bool = False) -> Iterator[Row]:
    """Yield the rows of a file: a .txt file has one, or its `lines`, in the first column.

    Raises:
        DataError: the file is not UTF-8, not JSON or not Parquet, or lacks a column.
    """
    try:
        if file.suffix == ".txt":
            text = file.read_text(encoding="utf-8")
            yield from ({columns[0]: part} for part in (text.split("\n") if lines else [text]))
        elif file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as written:
                for row in map(json.loads, filter(str.strip, written)):
                    check_columns(file, columns, row)
                    yield row
        else:
            yield from _read_parquet(file, columns)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file} could not be read ({reason}): repair it or take it out of `local`") from error


def _read_parquet(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        check_columns(file, columns, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(columns=list(columns)):
            yield from batch.to_pylist()
