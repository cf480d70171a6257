"""Wrapping in a terminal of text that has few spaces, such as Chinese with Latin names in it."""

import re
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

# A Latin word or name with the space after it, or one character; a closing mark stays with what it closes.
PIECE = re.compile(r"(?:[!-~]+ ?|.)[，。；：、）]*", re.DOTALL)


@dataclass(frozen=True)
class Wrapped:
    """Text that may break between any two characters, but not inside a Latin word that fits a line."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(wrap(self.text, options.max_width)), overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(2, options.max_width), min(cell_len(self.text), options.max_width))


def wrap(text: str, width: int) -> list[str]:
    """Break `text` into lines of at most `width` terminal cells; a Chinese character takes two."""
    lines = [""]
    for piece in PIECE.findall(text):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
