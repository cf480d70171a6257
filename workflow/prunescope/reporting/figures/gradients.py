"""`gradient_analysis.png`: what the gradients look like, and whether the rates follow them."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style

CURVES = {
    "mean": {"color": style.BLUE, "marker": "o", "linestyle": "-"},
    "std": {"color": style.ORANGE, "marker": "s", "linestyle": "--"},
    "norm": {"color": style.GREEN, "marker": "^", "linestyle": "-."},
}


def gradient_analysis(
    layers: pd.DataFrame, extreme_rate: float = 0.5, subtitle: str = "", words: Language = ENGLISH
) -> Figure:
    """Draw three panels over the layer index.

    Mean, standard deviation and norm of |g|, log scale; max and min with the band between, log scale;
    gradient mean and importance, each scaled to 0-1, over bars of the layers' rates, extreme layers shaded.

    Args:
        layers: `Evidence.layers`, a row per layer.
        extreme_rate: what counts as extreme.
    """
    figure = style.figure(12.0, words.labels["analysis"], subtitle)
    panels = figure.subplots(3, 1)
    _statistics(panels[0], layers, words)
    _range(panels[1], layers, words)
    _decision(panels[2], layers, extreme_rate, words)
    for axes in panels:
        style.over_layers(axes, layers.index, words)
        style.legend_beside(axes)
    return figure


def _statistics(axes: Axes, layers: pd.DataFrame, words: Language) -> None:
    axes.set_title(words.labels["gradients"], loc="left")
    floor = style.visible_floor(layers[list(CURVES)])
    for name, look in CURVES.items():
        label = style.with_floor(name, layers[name], floor, words)
        style.curve(axes, style.floored(layers[name], floor), label, **look)
    axes.set_yscale("log")
    axes.set_ylabel("|g|")


def _range(axes: Axes, layers: pd.DataFrame, words: Language) -> None:
    axes.set_title(words.labels["range"], loc="left")
    floor = style.visible_floor(layers[["max", "min"]])
    low, high = (style.floored(layers[name], floor) for name in ("min", "max"))
    style.curve(axes, high, words.labels["max"], style.RED, "v")
    axes.fill_between(layers.index, low, high, color=style.SKY, alpha=0.25, label=words.labels["between"])
    style.curve(axes, low, style.with_floor("min", layers["min"], floor, words), style.BLUE, "^", "--")
    axes.set_yscale("log")
    axes.set_ylabel("|g|")


def _decision(axes: Axes, layers: pd.DataFrame, extreme_rate: float, words: Language) -> None:
    labels = words.labels
    axes.set_title(labels["decision"], loc="left")
    style.shade_extreme(axes, layers, extreme_rate, words.label("extreme_of", rate=words.percent(extreme_rate)))
    axes.bar(layers.index, layers["rate"], color=style.LIGHT, width=0.7, label=labels["total_rate"])
    style.curve(axes, style.log_scaled(layers["mean"]), labels["scaled_gradient"], **CURVES["mean"])
    if layers["importance"].notna().any():
        scaled = style.log_scaled(layers["importance"])
        style.curve(axes, scaled, labels["scaled_importance"], style.PURPLE, "D", "--")
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel(labels["scaled"])
