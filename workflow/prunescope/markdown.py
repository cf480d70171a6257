"""Tables in Markdown, for pages and generated documentation."""

from collections.abc import Iterable, Sequence

RULERS = {"l": "---", "r": "---:"}


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], sides: str = "") -> str:
    """Return a table.

    Args:
        sides: ``l`` or ``r`` for each column: where its cells are aligned; all to the left by default.
    """
    rulers = [RULERS[side] for side in sides or "l" * len(columns)]
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in (columns, *rows))
    return "\n".join([head, f"|{'|'.join(rulers)}|", *body])


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values, without a heading."""
    return table(("", ""), rows)
