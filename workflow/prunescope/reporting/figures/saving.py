"""Figures as files: PNG and SVG, both or none."""

from pathlib import Path

from matplotlib.figure import Figure

from prunescope.files import replacing

DPI = 130


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` (``.png``, 130 dpi) and beside it as ``.svg``; the same numbers give the same bytes."""
    with replacing(path) as png, replacing(path.with_suffix(".svg")) as svg:
        figure.savefig(png, dpi=DPI)
        figure.savefig(svg, dpi=DPI, metadata={"Date": None})
