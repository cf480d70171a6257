"""Whether files of a local copy may be given to `datasets`, whose native readers end the whole process on some."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prunescope.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
JSON = (".json", ".jsonl")
CHUNK = 1 << 20


def check_copies(files: Iterable[Path]) -> None:
    """Read every compressed file and every file of JSON once.

    Raises:
        DataError: an archive is truncated or damaged, or a line is null, as pyarrow's reader must not begin.
    """
    for file in files:
        opener = OPENERS.get(file.suffix.lower())
        name = file.stem if opener else file.name
        json = name.lower().endswith(JSON)
        if not opener and not json:
            continue
        try:
            with opener(file) if opener else file.open("rb") as content:
                _read_through(file, content, json)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{file} is truncated or damaged ({reason}): download or copy it again") from error


def _read_through(file: Path, content: Any, json: bool) -> None:
    number, begins = 1, True
    while line := content.readline(CHUNK):  # a whole file may be one line
        if json and begins and line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"null"):
            raise DataError(f"line {number} of {file} is null, not an object: leave it out")
        begins = line.endswith(b"\n")
        number += begins
