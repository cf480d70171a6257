"""What a text is made of, and which part of it serves which purpose."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from prunescope.errors import DataError

Purpose = Literal["calibration", "validation", "test"]

Row = dict[str, Any]
"""Values by column."""

SEPARATOR = "\n\n"
"""Between two documents of a stream, as between two paragraphs."""


@dataclass(frozen=True)
class Document:
    """A text that is never divided between two purposes. `id` is unique within its source."""

    id: str
    text: str


def check_columns(where: object, wanted: Iterable[str], there: Iterable[str]) -> None:
    """Raise `DataError` when the rows of `where` lack a column that the configuration names."""
    known = list(there)
    for column in wanted:
        if column not in known:
            raise DataError(
                f"{where} has no column '{column}': set `text` to one of {', '.join(known)} (of instruction data: the "
                "columns in `instruction`)"
            )


def text_id(text: str) -> str:
    """Return an id that copies of a text share."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_of(document_id: str) -> Purpose:
    """Return the purpose of a document: 70 % calibration, 10 % validation, 20 % test, by a hash of its id.

    The answer does not depend on the other documents, so a text that grows keeps its splits.
    """
    position = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8]) / 2**64
    if position < 0.7:
        return "calibration"
    return "validation" if position < 0.8 else "test"
