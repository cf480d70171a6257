"""The figures of a comparison: functions from a `Comparison` to a figure."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FormatStrFormatter,
    Formatter,
    LogLocator,
    MultipleLocator,
    NullFormatter,
    PercentFormatter,
    ScalarFormatter,
)

from prunescope.artifacts.files import File
from prunescope.artifacts.folders import ComparisonFolder
from prunescope.artifacts.perplexity import shown
from prunescope.diagnosis.words import ENGLISH
from prunescope.reporting.comparison.frame import UNPRUNED, Comparison, Measurement
from prunescope.reporting.comparison.groups import kept_similarity, removed_similarity, score_correlation
from prunescope.reporting.comparison.recommend import SAME_RATIO, by_ratio
from prunescope.reporting.figures import style

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.SKY, "black")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
ACROSS = 3
Look = dict[str, Any]
RATIO = "method.ratio"
ALIKE = {
    "kept (Jaccard)": kept_similarity,
    "removed (Jaccard)": removed_similarity,
    "scores (rank correlation)": score_correlation,
}
"""Panels of `kept_groups`."""


def perplexity(compared: Comparison, subtitle: str = "") -> Figure:
    """Draw perplexity against ratio where ratios differ, else in order: a panel per text and protocol.

    Experiments that differ in the ratio alone are joined by a line. The grey band joins the Pareto front: nothing
    removes as much as one of its points at a lower perplexity. Bars are 95 % intervals where they were measured.
    """
    curve = len(by_ratio(compared.numbers)) > 1
    height = 5.2 if curve else 1.6 + 0.33 * len(compared.numbers)
    title = "Perplexity against the parameters removed" if curve else "Perplexity at the same ratio"
    figure = style.figure(0.6 + height * len(compared.measurements), title, subtitle)
    panels = figure.subplots(len(compared.measurements), 1, squeeze=False)[:, 0]
    for axes, measured in zip(panels, compared.measurements, strict=True):
        axes.set_title(str(measured), loc="left")
        (_against_ratio if curve else _in_order)(axes, compared, measured)
    return figure


def _against_ratio(axes: Axes, compared: Comparison, measured: Measurement) -> None:
    rows = compared.numbers.dropna(subset=[measured.column])
    front = pareto(rows["removed of all"], rows[measured.column])
    look: Look = {"color": style.LIGHT, "linewidth": 7, "marker": "o", "markersize": 14, "alpha": 0.6, "zorder": 1}
    axes.plot(front["ratio"], front["perplexity"], label="Pareto front", **look)
    for number, (label, series) in enumerate(_series(compared, rows)):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        look |= {"yerr": _errors(series, measured), "label": label, "capsize": 3, "linewidth": 1.5}
        axes.errorbar(series["removed of all"], series[measured.column], **look)
    _unpruned(axes, compared, measured, axes.axhline)
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("removed of all parameters")
    axes.set_yscale("log")
    _logarithmic(axes.yaxis, (1, 2, 3, 5), ScalarFormatter())
    axes.set_ylabel("perplexity")
    axes.grid(True, linewidth=0.5, alpha=0.4, which="both")
    style.legend_beside(axes)


def _in_order(axes: Axes, compared: Comparison, measured: Measurement) -> None:
    rows = compared.numbers.dropna(subset=[measured.column]).sort_values(measured.column, ascending=False)
    places = np.arange(len(rows))
    look: Look = {"xerr": _errors(rows, measured), "fmt": "o", "color": style.BLUE, "capsize": 3, "markersize": 6}
    axes.errorbar(rows[measured.column], places, **look)
    above: Look = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 8, "ha": "center"}
    for place, value in zip(places, rows[measured.column], strict=True):
        axes.annotate(shown(value, digits=1), (value, place), **above)
    _unpruned(axes, compared, measured, axes.axvline)
    axes.set_yticks(places, rows.index)
    axes.set_ylim(-0.6, len(rows) - 0.2)
    axes.set_xscale("log")
    _logarithmic(axes.xaxis, (1, 2, 3, 5), ScalarFormatter())
    axes.set_xlabel("perplexity")
    axes.grid(True, axis="x", linewidth=0.5, alpha=0.4, which="both")
    style.legend_beside(axes)


def pareto(ratio: pd.Series, perplexity: pd.Series) -> pd.DataFrame:
    """Return the points that no other beats, by ascending ratio: none removes as much at a lower perplexity."""
    points = pd.DataFrame({"ratio": ratio, "perplexity": perplexity}).astype(float)
    beaten = [
        ((points["ratio"] >= point.ratio - SAME_RATIO) & (points["perplexity"] < point.perplexity)).any()
        for point in points.itertuples()
    ]
    return points[~np.array(beaten, dtype=bool)].sort_values("ratio")


def _series(compared: Comparison, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows in series that differ in the ratio alone, each with the name of its first experiment."""
    others = [path for path in compared.settings.columns if path != RATIO]
    ordered = rows.sort_values("removed of all")
    groups = [ordered]
    if others:
        keys = compared.settings.loc[ordered.index, others].apply(tuple, axis=1)
        groups = [group for _, group in ordered.groupby(keys, sort=False)]
    return [(group.index[0] + (" ..." if len(group) > 1 else ""), group) for group in groups]


def _errors(rows: pd.DataFrame, measured: Measurement) -> np.ndarray | None:
    low, high = (rows[name].astype(float) for name in measured.bounds)
    value = rows[measured.column]
    return None if low.isna().all() else np.nan_to_num(np.array([value - low, high - value]))


def _unpruned(axes: Axes, compared: Comparison, measured: Measurement, line: Callable) -> None:
    for name, value in compared.unpruned[measured.column].dropna().items():
        label = f"{name.replace(UNPRUNED, 'unpruned')} {shown(value, digits=1)}"
        line(value, color="black", linestyle=":", linewidth=1.5, label=label)


def _logarithmic(axis: Axis, ticks: tuple[float, ...], formatter: Formatter) -> None:
    """Label an axis at `ticks` of each decade."""
    axis.set_major_locator(LogLocator(subs=ticks))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def pruning_rates(compared: Comparison, subtitle: str = "") -> Figure:
    """Draw the rates of every experiment over the layers, one small panel each, all on one scale."""
    down = ceil(len(compared.folders) / ACROSS)
    figure = style.figure(1.2 + 2.3 * down, "Pruning rate of every layer", subtitle)
    across = min(ACROSS, len(compared.folders))
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(compared.folders) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(len(compared.folders) - across, 0) :]:
        axes.tick_params(labelbottom=True)
    for axes, (name, folder) in zip(panels.flat, compared.folders.items(), strict=False):
        layers = pd.DataFrame([dict(layer) for layer in folder.summary.read().layers]).set_index("layer")
        for block, offset in (("attention", -0.2), ("mlp", 0.2)):
            look = {"width": 0.4, "color": style.BLOCK_COLOURS[block], "label": ENGLISH.labels[block]}
            axes.bar(layers.index + offset, layers[f"{block}_rate"], **look)
        axes.step(layers.index, layers["rate"], where="mid", color="black", linewidth=1, label=ENGLISH.labels["total"])
        axes.set_title(name, loc="left", fontsize=9)
        style.as_rates(axes, "")
        axes.grid(True, axis="y", linewidth=0.5, alpha=0.4)
        axes.set_axisbelow(True)
    figure.supxlabel("layer", fontsize=10)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return figure


def kept_groups(compared: Comparison, subtitle: str = "") -> Figure:
    """Draw how alike the choices are: Jaccard similarity of the groups kept and removed, rank correlation of scores."""
    names = list(compared.folders)
    figure = style.figure(min(2.6 + 0.36 * max(len(names), 5), 5.6), "How alike the choices of groups are", subtitle)
    panels = figure.subplots(1, len(ALIKE), sharey=True)
    for axes, (title, alike) in zip(panels, ALIKE.items(), strict=True):
        values = alike(compared.folders)
        axes.imshow(values, cmap="viridis", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(values.to_numpy()):
            colour = "white" if value < 0.6 else "black"
            axes.text(
                column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=min(8, 60 / len(names))
            )
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    return figure


def gradient_profiles(compared: Comparison, subtitle: str = "") -> Figure:
    """Draw the mean of |g| over the layers, a curve per gradient run; experiments that share one share a curve."""
    figure = style.figure(5.4, "Mean of |g| in every layer, a curve per gradient run", subtitle)
    axes = figure.subplots()
    layers = pd.Index([])
    for number, (names, profile) in enumerate(_profiles(compared)):
        label = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        look = (COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], ("-", "--", "-.")[number // 7 % 3])
        style.curve(axes, profile, label, *look)
        layers = layers.union(profile.index)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # Profiles within a decade would have a single tick.
    ticks = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 5, 7)
    _logarithmic(axes.yaxis, ticks, FormatStrFormatter("%.1e"))
    axes.set_ylabel("mean of |g|")
    style.over_layers(axes, layers, ENGLISH)
    style.legend_beside(axes)
    return figure


def _profiles(compared: Comparison) -> list[tuple[list[str], pd.Series]]:
    found: dict[tuple[float, ...], tuple[list[str], pd.Series]] = {}
    for name, folder in compared.folders.items():
        layers = folder.statistics.read().layers
        profile = pd.Series({layer: layers[layer].mean for layer in sorted(layers)}, dtype=float)
        found.setdefault(tuple(profile), ([], profile))[0].append(name)
    return list(found.values())


FIGURES: dict[File[Path], Callable[[Comparison, str], Figure]] = {
    ComparisonFolder.perplexity: perplexity,
    ComparisonFolder.rates: pruning_rates,
    ComparisonFolder.kept: kept_groups,
    ComparisonFolder.gradients: gradient_profiles,
}
"""By the PNG; the SVG is beside it."""
