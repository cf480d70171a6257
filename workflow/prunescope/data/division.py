"""Division of long documents into parts, so that a text of few documents has all its splits."""

import re
from collections.abc import Iterator
from itertools import pairwise

SHARE = 0.02
"""Of the characters of a text: longer documents are divided, so that a text has at least 50 parts."""

SHORTEST = 200
"""Characters that a part may have in any text: shorter ones would be torn sentences."""

BORDERS = (
    r"\n[ \t\r]*\n\s*",  # between paragraphs
    r"\n",
    r"[.!?]['\")\]”’]*\s+|[。！？…]+[”』」）]*",  # after a sentence
    r"\s+",
)
"""From the best place to divide to the last resort; without any of them a text is cut between two characters."""


def longest_part(characters: int) -> int:
    """Return how many characters a document of a text of so many may have before it is divided."""
    return max(SHORTEST, int(SHARE * characters))


def divide(text: str, limit: int) -> list[str]:
    """Divide a text into parts of at most `limit` characters, which joined are the text.

    A part ends after a paragraph; where one is longer than the limit, after a line, else a sentence, else a word.
    """
    parts: list[list[str]] = [[]]
    length = 0
    for piece in _pieces(text, limit, BORDERS):
        if length + len(piece) > limit:
            parts.append([])
            length = 0
        parts[-1].append(piece)
        length += len(piece)
    return ["".join(pieces) for pieces in parts if pieces]


def _pieces(text: str, limit: int, borders: tuple[str, ...]) -> Iterator[str]:
    """Yield what lies between the borders of the first kind; of what is too long, between those of the next kind."""
    if not borders:
        yield from (text[start : start + limit] for start in range(0, len(text), limit))
        return
    ends = [0, *(border.end() for border in re.finditer(borders[0], text)), len(text)]
    for start, end in pairwise(ends):
        piece = text[start:end]
        if len(piece) > limit:
            yield from _pieces(piece, limit, borders[1:])
        elif piece:
            yield piece
