"""Figures as files."""

from contextlib import ExitStack
from pathlib import Path

from matplotlib.figure import Figure

from prunescope.files import replacing

DPI = 130
NO_DATE = {".svg": {"Date": None}}


def save_figure(figure: Figure, *paths: Path) -> None:
    """Write a figure (130 dpi) to all paths or none, as their suffixes say; the same numbers give the same bytes."""
    with ExitStack() as stack:
        for path in paths:
            figure.savefig(stack.enter_context(replacing(path)), dpi=DPI, metadata=NO_DATE.get(path.suffix))
