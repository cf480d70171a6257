"""Whether compressed files are whole."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prunescope.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
CHUNK = 1 << 20


def check_compressed(files: Iterable[Path]) -> None:
    """Decompress every compressed file once: `datasets` ends the whole process in the middle of a truncated one.

    Raises:
        DataError: a file is truncated or damaged.
    """
    for file in files:
        opener = OPENERS.get(file.suffix.lower())
        if not opener:
            continue
        try:
            with opener(file) as content:
                while content.read(CHUNK):
                    pass
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{file} is truncated or damaged ({reason}): download or copy it again") from error
