"""Draw docs/images/demo.svg, what a terminal shows of a run, from what a real one printed.

make demo 2>&1 | tee demo.log && python docs/recording.py demo.log
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).parent / "images" / "demo.svg"
WIDTH = 122
STARTED = re.compile(r"^\s*\d+/\d+  .* \.\.\.")
"""A step that starts; in a terminal it is a bar, which its last line replaces."""
FETCHED = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Fonts that rich would have a browser fetch."""


def shown(log: str) -> list[str]:
    """Return the lines of a run that stay in a terminal."""
    lines = [line for line in log.splitlines() if not STARTED.match(line) and not line.startswith("Using workflow")]
    begin = next(number for number, line in enumerate(lines) if line.startswith("snakemake "))
    end = next((number for number, line in enumerate(lines) if line.startswith("real")), len(lines))
    return lines[begin:end]


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    first, *others = shown(Path(sys.argv[1]).read_text(encoding="utf-8"))
    console.print(Text(f"$ {first}", style="bold"))
    for line in others:
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    svg = console.export_svg(title="make demo", theme=MONOKAI, unique_id="demo")
    PICTURE.write_text(FETCHED.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    main()
