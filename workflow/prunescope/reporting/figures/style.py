"""What the plots share: size, colours (Okabe and Ito, safe for colour-blind readers), axes over layers, their files."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from prunescope.diagnosis.measures import extreme_layers, varies
from prunescope.diagnosis.words import Language
from prunescope.files import replacing

WIDTH, DPI = 11.5, 130
NO_DATE = {".svg": {"Date": None}}
# More layers than this are drawn with smaller markers.
MANY = 48
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, LIGHT, PALE_PURPLE = "#CC79A7", "#56B4E9", "#BBBBBB", "#E9C4DA"
BLOCK_COLOURS = {"attention": ORANGE, "mlp": BLUE}


def figure(height: float, title: str, subtitle: str) -> Figure:
    """Return an empty figure that needs no pyplot state; its title names what and whose."""
    made = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.08))
    made.suptitle(f"{title}\n{subtitle}" if subtitle else title, fontsize=12, ha="left", x=0.01)
    return made


def save_figure(figure: Figure, *paths: Path) -> None:
    """Write a figure (130 dpi) to all paths or none, as their suffixes say; the same numbers give the same bytes."""
    with ExitStack() as stack:
        for path in paths:
            figure.savefig(stack.enter_context(replacing(path)), dpi=DPI, metadata=NO_DATE.get(path.suffix))


def over_layers(axes: Axes, layers: pd.Index, words: Language) -> None:
    """Set up the x axis: the layer index, whole numbers, as many ticks as fit."""
    axes.set_xlabel(words.labels["layer"])
    axes.set_xlim(layers.min() - 0.7, layers.max() + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=32, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="y", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)


def as_rates(axes: Axes, label: str) -> None:
    """Set up a y axis of rates, 0 to 100 %."""
    axes.set_ylim(0, 1.05)
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def shade_extreme(axes: Axes, layers: pd.DataFrame, extreme_rate: float, label: str) -> None:
    """Shade the layers of which a rate is above `extreme_rate`; columns as in `Rates.layers`."""
    for count, extreme in enumerate(extreme_layers(layers, extreme_rate)):
        left, right = extreme.layer - 0.5, extreme.layer + 0.5
        # A leading underscore keeps all but the first out of the legend.
        axes.axvspan(left, right, color=RED, alpha=0.15, lw=0, zorder=0, label="_" if count else label)


def threshold(axes: Axes, extreme_rate: float, words: Language) -> None:
    """Draw the extreme rate as a line over all layers."""
    label = words.label("extreme_rate", rate=words.percent(extreme_rate))
    axes.axhline(extreme_rate, color=RED, linestyle=":", linewidth=1.5, label=label)


def mark(axes: Axes, x: Sequence[float], y: Sequence[float], layers: int, color: str, label: str) -> None:
    """Draw triangles over everything else; they shrink where there are many `layers`."""
    size = 7 if layers <= MANY else 4.5
    axes.plot(
        x, y, "v", color=color, markersize=size, markeredgecolor="white", markeredgewidth=0.5, zorder=5, label=label
    )


def curve(axes: Axes, values: pd.Series, label: str, color: str, marker: str, linestyle: str = "-") -> None:
    """Draw one value per layer; markers shrink where layers are many."""
    size = 4.5 if len(values) <= MANY else 2.5
    axes.plot(values.index, values, label=label, color=color, marker=marker, linestyle=linestyle, markersize=size)


def legend_beside(axes: Axes) -> None:
    """Put the legend to the right of the axes, where it covers no data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.02), frameon=False, fontsize=9)


def visible_floor(values: pd.DataFrame | pd.Series) -> float:
    """Return where zeros are drawn on a log scale: a tenth of the smallest positive value."""
    numbers = values.to_numpy(dtype=float)
    positive = numbers[numbers > 0]
    return float(positive.min()) / 10 if positive.size else 1e-12


def floored(values: pd.Series, floor: float) -> pd.Series:
    """Return `values` with everything below `floor` raised to it; NaN stays."""
    return values.clip(lower=floor)


def with_floor(name: str, values: pd.Series, floor: float, words: Language) -> str:
    """Return the label of a curve, with the place of its zeros if it has any."""
    if not (values == 0).any():
        return words.labels[name]
    return words.label("floor", name=words.labels[name], floor=floor)


def log_scaled(values: pd.Series) -> pd.Series:
    """Scale log10 of `values` to [0, 1]; zeros count as the visible floor, constants as 0.5."""
    logs = np.log10(floored(values, visible_floor(values)))
    low, high = logs.min(), logs.max()
    return (logs - low) / (high - low) if varies(values) else logs * 0 + 0.5
