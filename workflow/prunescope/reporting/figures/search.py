"""`search.png`: how a search came to its settings, and which of them matter."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator, PercentFormatter

from prunescope.artifacts.search import Search
from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style

COLOURS = (style.LIGHT, style.SKY, style.BLUE)
"""Of the rungs: few windows, more, all."""
ROW, HEAD = 0.26, 5.4
"""Inches of a setting in the lower panel, and of all the rest."""


def search_figure(search: Search, tried: pd.DataFrame, subtitle: str = "", words: Language = ENGLISH) -> Figure:
    """Draw what the settings that were tried lose, in their order, and how much each knob matters.

    Args:
        tried: a row per setting, columns `artifacts.tables.SEARCH`.
    """
    figure = style.figure(HEAD + ROW * len(search.importance), words.labels["search"], subtitle)
    if not search.importance:
        _way(figure.subplots(), search, tried, words)
        return figure
    above, below = figure.subplots(2, 1, height_ratios=(3.6, ROW * (len(search.importance) + 1)))
    _way(above, search, tried, words)
    _knobs(below, search.importance, words)
    return figure


def _way(axes: Axes, search: Search, tried: pd.DataFrame, words: Language) -> None:
    rungs = [f"kl_{windows}" for windows in search.rungs]
    for name, windows, colour in zip(rungs, search.rungs, COLOURS[-len(rungs) :], strict=True):
        label = words.label("on_windows", count=windows)
        axes.plot(tried["trial"], tried[name], "o", color=colour, markersize=4, label=label)
    starts = tried[tried["start"]]
    axes.plot(
        starts["trial"], starts[rungs[0]], "o", color="none", markeredgecolor="black", label=words.labels["starts"]
    )
    best = tried[rungs[-1]].cummin().ffill()
    axes.step(tried["trial"], best, where="post", color=style.ORANGE, label=words.labels["best_so_far"])
    axes.set_yscale("log")
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(words.labels["setting_tried"])
    axes.set_ylabel(words.labels["kl"])
    axes.grid(True, axis="y", which="both", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)
    style.legend_beside(axes)


def _knobs(axes: Axes, importance: dict[str, float], words: Language) -> None:
    found = sorted(importance.items(), key=lambda knob: knob[1])
    axes.barh([path for path, _ in found], [share for _, share in found], color=style.BLUE)
    axes.set_title(words.labels["knobs"], loc="left")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(axis="y", labelsize=8)
