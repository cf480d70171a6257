"""Whether files of a local copy may be given to `datasets`, whose native readers end the whole process on some."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prunescope.data.archives import Bounded, allowed
from prunescope.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
JSON = (".json", ".jsonl")
CHUNK = 1 << 20


def check_copies(files: Iterable[Path]) -> None:
    """Read every compressed file and every file of JSON once.

    Raises:
        DataError: an archive is truncated or damaged, or a row is null, with which pyarrow's reader must not begin.
    """
    for file in files:
        opener = OPENERS.get(file.suffix.lower())
        is_json = (file.stem if opener else file.name).lower().endswith(JSON)
        if not opener and not is_json:
            continue
        try:
            with opener(file) if opener else file.open("rb") as content:
                place = _null_in(Bounded(content, allowed(file.stat().st_size)), is_json)
        except DataError as error:
            raise DataError(f"{file} is not read, {error}: correct `files` or `path`, or unpack it") from None
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{file} is truncated or damaged ({reason}): download or copy it again") from error
        if place:
            raise DataError(f"{place} of {file} is null, not an object: leave it out")


def _null_in(content: Any, is_json: bool) -> str | None:
    """Read a file to its end and return the line, or the item of its list, that is null; None without one."""
    number, begins = 1, True
    if is_json and content.peek(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        whole = content.read()
        content = io.BytesIO(whole)
        with suppress(ValueError, RecursionError):  # the library says what is wrong, or reads it line by line
            items = json.loads(whole)
            return f"item {items.index(None) + 1}" if None in items else None
    found = None
    while line := content.readline(CHUNK):  # a whole file may be one line
        if begins and is_json and line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"null"):
            found = found or f"line {number}"
        begins = line.endswith(b"\n")
        number += begins
    return found
