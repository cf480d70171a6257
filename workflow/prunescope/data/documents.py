"""What a text is made of, and which part of it serves which purpose."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prunescope.errors import DataError

Item = TypeVar("Item")

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


def split_of(document_id: str) -> Purpose:
    """Return the purpose of a document: 70 % calibration, 10 % validation, 20 % test, by a hash of its id.

    The answer does not depend on the other documents, so a text that grows keeps its splits.
    """
    position = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8]) / 2**64
    if position < 0.7:
        return "calibration"
    return "validation" if position < 0.8 else "test"


def chosen(contents: Iterable[tuple[str, Item]], purpose: Purpose) -> Iterator[tuple[str, Item]]:
    """Yield (id, item) of what serves `purpose`; the id is a hash of the content, and of copies the first is kept.

    Args:
        contents: pairs of a text and the item that it stands for.
    """
    seen = set()
    for text, item in contents:
        item_id = hashlib.sha256(text.encode()).hexdigest()[:16]
        if item_id not in seen and split_of(item_id) == purpose:
            seen.add(item_id)
            yield item_id, item
