"""Tables in Markdown, for pages and generated documentation."""

import re
from collections.abc import Iterable, Sequence

RULERS = {"l": "---", "r": "---:"}


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], sides: str = "") -> str:
    """Return a table; a `|` in a cell is escaped.

    Args:
        sides: ``l`` or ``r`` for each column: where its cells are aligned; all to the left by default.
    """
    rulers = [RULERS[side] for side in sides or "l" * len(columns)]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    head, *body = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, f"|{'|'.join(rulers)}|", *body])


def literal(text: str) -> str:
    """Return text on one line, with no meaning in Markdown or HTML (a `|` aside, see `table`)."""
    lines = " ⏎ ".join(line.strip() for line in text.splitlines() if line.strip())
    return re.sub(r"([\\`*_\[\]<>#&~!$])", r"\\\1", lines)


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values, without a heading."""
    return table(("", ""), rows)
