"""Rows of local text files."""

import json
from collections.abc import Iterator
from pathlib import Path

from prunescope.config.local import TEXT_FILES, text_files
from prunescope.config.sections import DatasetSource
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


def read_rows(file: Path, source: DatasetSource) -> Iterator[str]:
    """Yield the texts of a file: a .txt file as a whole (under `headings` its lines), the rows of the others.

    Raises:
        DataError: the file is not UTF-8, not JSON or not Parquet, or lacks the text column.
    """
    try:
        if file.suffix == ".txt":
            text = file.read_text(encoding="utf-8")
            yield from text.split("\n") if source.documents == "headings" else [text]
        elif file.suffix == ".jsonl":
            yield from _read_jsonl(file, source.text)
        else:
            yield from _read_parquet(file, source.text)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file} could not be read ({reason}): repair it or take it out of `local`") from error


def _read_jsonl(file: Path, column: str) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                if column not in row:
                    raise _missing_column(file, column, list(row))
                yield row[column] or ""


def _read_parquet(file: Path, column: str) -> Iterator[str]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        if column not in parquet.schema_arrow.names:
            raise _missing_column(file, column, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(columns=[column]):
            for text in batch.column(0).to_pylist():
                yield text or ""


def _missing_column(file: Path, column: str, columns: list[str]) -> DataError:
    return DataError(f"{file} has no column '{column}': set `text` to one of {', '.join(columns)}")
