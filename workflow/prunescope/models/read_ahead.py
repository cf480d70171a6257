"""Parts of files are brought into the system's page cache while something else is computed."""

import json
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

from prunescope.models.stored import Stored

BLOCK = 1 << 17
"""Bytes per request; Linux cuts longer ones to about this."""


class ReadAhead:
    """Asks the system for the bytes of tensors in a thread: whoever maps the file next finds them in memory."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def begin(self, tensors: Iterable[Stored]) -> "Future[None]":
        """Begin to read; what cannot be read is left to the reader that needs it, which can say so."""
        return self._thread.submit(_touch, list(tensors))


def _touch(tensors: list[Stored]) -> None:
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for tensor in tensors:
        try:
            begin, end = _offsets(tensor.file)[tensor.name]
            with tensor.file.open("rb", buffering=0) as file:
                for block in range(begin, end, BLOCK):
                    os.posix_fadvise(file.fileno(), block, min(BLOCK, end - block), os.POSIX_FADV_WILLNEED)
        except (OSError, ValueError, KeyError, OverflowError):
            return


@cache
def _offsets(file: Path) -> dict[str, tuple[int, int]]:
    """Return where each tensor of a safetensors file begins and ends."""
    with file.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(size))
    header.pop("__metadata__", None)
    places = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: (8 + size + begin, 8 + size + end) for name, (begin, end) in places.items()}
