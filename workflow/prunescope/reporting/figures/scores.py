"""`importance_heatmap.png`: the scores of every block, and how many of its groups go."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style

BLOCKS = ("attention", "mlp")
QUANTILES = 60


def importance_heatmap(table: pd.DataFrame, subtitle: str = "", words: Language = ENGLISH) -> Figure:
    """Draw the scores as colour (log) over layer and quantile, attention above MLP.

    A column holds the groups of one block in ascending order of score, in up to `QUANTILES` cells; with fewer
    groups than that, each has a cell. A line marks how many of them go: below it is removed, and its height is
    the rate of the block. The panels share the colours, for scores are compared across block types.

    Args:
        table: the importance table, a row per group.
    """
    figure = style.figure(10.0, words.labels["importance"], subtitle)
    panels = figure.subplots(2, 1)
    floor = style.visible_floor(table["score"])
    # The type of a block may be a category, also of a kind that is not there.
    cells = {block: style.floored(block_quantiles(table, block), floor) for block in BLOCKS}
    norm = _colours(cells)
    for axes, block in zip(panels, BLOCKS, strict=True):
        axes.set_title(words.labels[block], loc="left")
        if cells[block].empty:
            continue
        image = _cells(axes, cells[block], norm)
        _cut(axes, table[table["block"] == block], words)
        style.over_layers(axes, pd.Index(table["layer"]), words)
        style.as_rates(axes, words.labels["quantile"])
        axes.grid(False)
        axes.set(xlim=(table["layer"].min() - 0.5, table["layer"].max() + 0.5), ylim=(0, 1))
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=40)
    label = style.with_floor("score", table["score"], floor, words)
    removed = table["score"][table["removed"]]
    if not removed.empty:
        _mark(bar, max(removed.max(), floor))
        label = words.label("highest_cut", score=label)
    bar.set_label(label)
    return figure


def block_quantiles(table: pd.DataFrame, block: str) -> pd.DataFrame:
    """Return the quantiles of the scores of every block of one kind: a row per quantile, a column per layer.

    The index holds the fractions ``(i + 1/2) / n``, n being the number of groups or `QUANTILES`, whichever is
    lower. With n groups the values are their scores in ascending order.
    """
    scores = table[table["block"] == block].groupby("layer")["score"]
    if not len(scores):
        return pd.DataFrame()
    count = min(QUANTILES, int(scores.size().max()))
    fractions = (np.arange(count) + 0.5) / count
    # "hazen" puts the i-th of n values at (i + 1/2) / n.
    return pd.DataFrame({layer: np.quantile(part, fractions, method="hazen") for layer, part in scores}, fractions)


def _colours(cells: dict[str, pd.DataFrame]) -> LogNorm:
    values = np.concatenate([part.to_numpy().ravel() for part in cells.values()])
    low, high = values.min(), values.max()
    return LogNorm(low, high if high > low else 10 * low)


def _cells(axes: Axes, cells: pd.DataFrame, norm: LogNorm) -> QuadMesh:
    # A layer whose block is gone has no column, but its place.
    layers = range(cells.columns.min(), cells.columns.max() + 1)
    x, y = np.arange(len(layers) + 1) + layers[0] - 0.5, np.linspace(0, 1, len(cells) + 1)
    values = np.ma.masked_invalid(cells.reindex(columns=layers).to_numpy())
    return axes.pcolormesh(x, y, values, cmap="viridis", norm=norm, rasterized=True)


def _cut(axes: Axes, rows: pd.DataFrame, words: Language) -> None:
    removed = rows.groupby("layer")["removed"].mean()
    left, right = removed.index - 0.5, removed.index + 0.5
    axes.hlines(removed, left, right, color="white", linewidth=4.0, clip_on=False)
    axes.hlines(removed, left, right, color=style.RED, linewidth=2.0, clip_on=False, label=words.labels["cut"])


def _mark(bar: Colorbar, score: float) -> None:
    bar.ax.axhline(score, color="white", linewidth=4.0)
    bar.ax.axhline(score, color=style.RED, linewidth=2.0)
