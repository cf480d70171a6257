"""What a text is made of, and which part of it serves which purpose."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from prunescope.config.sections.sources import Purpose
from prunescope.errors import DataError

Item = TypeVar("Item")

SHOWN = 20
"""Names in a message."""

SEPARATOR = "\n\n"
"""Between two documents of a stream, as between two paragraphs."""


@dataclass(frozen=True)
class Document:
    """A text, or a part of a long one, that is never divided between two purposes. `id` is unique within its source."""

    id: str
    text: str


@dataclass(frozen=True)
class Row:
    """Values by column, and where they stand, for messages: file and line, or dataset and row."""

    place: str
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """Return the text in a column; raises `DataError` where it is none."""
        value = self.values[column]
        remedy = "write text there, leave the row out, or name the column with the text"
        return as_text(value, f"{self.place}: column '{column}'", remedy)


class TooShortError(DataError):
    """A text does not fill the windows that were asked for."""


def as_text(value: Any, where: str, remedy: str) -> str:
    """Return a value of the data as text; nothing is the empty text.

    Raises:
        DataError: it is of another kind, or holds half of a character.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where} holds {kind_of(value)}, not text: {remedy}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(value[error.start]):04x}"
        raise DataError(f"{where} holds half of a character ({half} at position {error.start}): {remedy}") from None
    return value


def kind_of(value: Any) -> str:
    """Return what a value of the data is, for messages: `a number (3.5)`, `a list`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        # Python writes no thousands of digits.
        return f"a number ({value})" if isinstance(value, float) or abs(value) < 1e15 else "a large number"
    kinds = {str: "text", bytes: "bytes", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), f"a value of the type {type(value).__name__}")


def shown(names: Iterable[object]) -> str:
    """Return names that the data gives, for messages: on one line, and not hundreds of them."""
    known = [repr(str(name))[1:-1][:60] for name in names]
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(known[:SHOWN]) + more


def check_columns(place: str, wanted: Iterable[str], there: Iterable[str], first: bool = True) -> None:
    """Raise `DataError` when a row lacks a column that the configuration names; `first`: none before it had them."""
    known = list(there)
    for column in wanted:
        if column not in known:
            remedy = (
                f"set `text` to one of {shown(known)} (of instruction data: the columns in `instruction`)"
                if first and known
                else "every row needs it; add it, or leave the row out"
            )
            raise DataError(f"{place} has no column '{column}': {remedy}")


@contextmanager
def at(place: str) -> Iterator[None]:
    """Begin the message of a `DataError` with where it arose."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{place}: {error}") from error.__cause__


def split_of(document_id: str) -> Purpose:
    """Return the purpose of a document: 70 % calibration, 10 % validation, 20 % test, by a hash of its id.

    The answer does not depend on the other documents, so a text that grows keeps its splits.
    """
    position = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8]) / 2**64
    if position < 0.7:
        return "calibration"
    return "validation" if position < 0.8 else "test"


def digest(text: str) -> str:
    """Return 16 hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chosen(contents: Iterable[tuple[str, Item]], purpose: Purpose) -> Iterator[tuple[str, Item]]:
    """Yield (id, item) of what serves `purpose`; the id is a hash of the content, and of copies the first is kept.

    Args:
        contents: pairs of a text and the item that it stands for.
    """
    seen = set()
    for text, item in contents:
        item_id = digest(text)
        if item_id not in seen and split_of(item_id) == purpose:
            seen.add(item_id)
            yield item_id, item
