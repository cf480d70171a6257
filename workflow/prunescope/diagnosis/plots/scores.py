"""`importance_heatmap.png`: how the scores of every block lie to the cut."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from prunescope.diagnosis.plots import style
from prunescope.diagnosis.texts import ENGLISH
from prunescope.diagnosis.wording import Language

BINS = 60
FEW = 64


def importance_heatmap(table: pd.DataFrame, subtitle: str = "", words: Language = ENGLISH) -> Figure:
    """Draw the distribution of log score per layer, attention above MLP, with the cut of every block.

    A block type with up to 64 groups per layer is drawn group by group, one with more as a density
    (share of the block's groups per score bin, log colour). The cut is the highest removed score.
    A column whose mass lies below its cut is a block that goes. Both panels share the score axis, for
    scores are compared across block types.

    Args:
        table: the importance table, a row per group.
    """
    figure = style.figure(10.0, words.labels["importance"], subtitle)
    panels = figure.subplots(2, 1, sharey=True)
    for axes, block in zip(panels, ("attention", "mlp"), strict=True):
        rows = table[table["block"] == block]
        axes.set_title(words.labels[block], loc="left")
        if rows.empty:
            continue
        floor = style.visible_floor(rows["score"])
        rows = rows.assign(score=style.floored(rows["score"], floor))
        draw = _groups if rows.groupby("layer").size().max() <= FEW else _density
        draw(axes, rows, words)
        _cut(axes, rows, words)
        axes.set_yscale("log")
        style.over_layers(axes, pd.Index(table["layer"]), words)
        axes.set_ylabel(style.with_floor("score", table.loc[rows.index, "score"], floor, words))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9)
    return figure


def _groups(axes: Axes, rows: pd.DataFrame, words: Language) -> None:
    for removed, look in (
        (False, {"color": style.BLUE, "marker": "o"}),
        (True, {"color": style.RED, "marker": "x"}),
    ):
        part = rows[rows["removed"] == removed]
        label = words.labels["removed" if removed else "kept"]
        axes.plot(part["layer"], part["score"], linestyle="none", markersize=6, label=label, **look)


def _density(axes: Axes, rows: pd.DataFrame, words: Language) -> None:
    layers = np.arange(rows["layer"].min(), rows["layer"].max() + 2) - 0.5
    low, high = rows["score"].min(), rows["score"].max()
    scores = np.geomspace(low, high * (1 + 1e-9) if high > low else low * 10, BINS + 1)
    counts, *_ = np.histogram2d(rows["layer"], rows["score"], bins=(layers, scores))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    visible = np.ma.masked_equal(shares.T, 0)
    norm = LogNorm(vmin=shares[shares > 0].min(), vmax=shares.max())
    image = axes.pcolormesh(layers, scores, visible, cmap="viridis", norm=norm)
    axes.figure.colorbar(image, ax=axes, label=words.labels["density"], pad=0.01, aspect=30)


def _cut(axes: Axes, rows: pd.DataFrame, words: Language) -> None:
    cut = rows[rows["removed"]].groupby("layer")["score"].max()
    if not cut.empty:
        axes.hlines(cut, cut.index - 0.45, cut.index + 0.45, color=style.RED, linewidth=2.5, label=words.labels["cut"])
