"""What stands for the content of local files, so that a copy that moved is the same copy."""

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import matching_files
from prunescope.errors import DataError
from prunescope.files import is_file

MODEL_FILES = (".json", ".safetensors", ".model", ".txt", ".jinja")
LARGE, SAMPLED, BLOCK = 1 << 24, 16, 1 << 16


def fingerprint(paths: Iterable[Path]) -> str | None:
    """Return 16 hex digits over the names and contents of files; None for no file.

    Of a large file only its size and `SAMPLED` evenly spaced blocks are read, so that a 15 GB checkpoint costs no
    time when the workflow is parsed; of a large text also the time of its last change, since an edit may be small.
    """
    try:
        states = [(path, path.stat()) for path in paths]
        files = tuple((path, state.st_size, state.st_mtime_ns) for path, state in states)
        return _fingerprint(files) if files else None
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def model_files(folder: str | None) -> list[Path]:
    """Return the files of a local checkpoint that decide what is computed; a link that leads nowhere is none.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        found = sorted(Path(folder).iterdir()) if folder else []
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    return [file for file in found if file.suffix in MODEL_FILES and is_file(file)]


def copied_files(source: DatasetSource) -> list[Path]:
    """Return the files that are read of a local copy of a hub dataset: those of `files`, or all but hidden ones."""
    if not source.path:
        return []
    if source.files:
        return [file for pattern in source.files.values() for file in matching_files(f"{source.path}/{pattern}")]
    folder = Path(source.path)
    found = matching_files(str(folder / "**/*"))
    return [file for file in found if not any(part[0] == "." for part in file.relative_to(folder).parts)]


@cache
def _fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Read files, given with size and time, so that those of many experiments are read once."""
    state = hashlib.sha256()
    for path, size, changed in files:
        state.update(os.fsencode(path.name) + f":{size};".encode())  # names need not be UTF-8
        with path.open("rb") as file:
            if size <= LARGE:
                state.update(file.read())
                continue
            if path.suffix != ".safetensors":
                state.update(f"{changed};".encode())
            for part in range(SAMPLED):
                file.seek((size - BLOCK) * part // (SAMPLED - 1))
                state.update(file.read(BLOCK))
    return state.hexdigest()[:16]
