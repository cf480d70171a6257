"""What a text is made of, and which part of it serves which purpose."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["calibration", "validation", "test"]

SEPARATOR = "\n\n"
"""Between two documents of a stream, as between two paragraphs."""


@dataclass(frozen=True)
class Document:
    """A text that is never divided between two purposes. `id` is unique within its source."""

    id: str
    text: str


def split_of(document_id: str) -> Purpose:
    """Return the purpose of a document: 70 % calibration, 10 % validation, 20 % test, by a hash of its id.

    The answer does not depend on the other documents, so a text that grows keeps its splits.
    """
    position = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8]) / 2**64
    if position < 0.7:
        return "calibration"
    return "validation" if position < 0.8 else "test"
