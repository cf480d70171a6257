"""`pruning_rates.png`: where the parameters were taken."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunescope.config.sections import Limits
from prunescope.diagnosis.evidence import Rates
from prunescope.diagnosis.measures import RATE_OF
from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style

BAR = 0.4
OFFSETS = {"attention": -BAR / 2, "mlp": BAR / 2}


def pruning_rates(rates: Rates, extreme_rate: float = 0.5, subtitle: str = "", words: Language = ENGLISH) -> Figure:
    """Draw two panels over the layer index, extreme layers shaded in both.

    What each layer loses of all its parameters: a bar, its attention part and its MLP part stacked, so that
    its height is the layer's rate; with the target ratio. What each block loses of its own parameters: a bar
    per block, with the limits; blocks that stand at a limit are marked.
    """
    figure = style.figure(9.4, words.labels["rates"], subtitle)
    whole, blocks = figure.subplots(2, 1)
    _layer_shares(whole, rates, words)
    _block_rates(blocks, rates, words)
    for axes in (whole, blocks):
        style.shade_extreme(axes, rates.layers, extreme_rate, words.labels["extreme_layer"])
        style.threshold(axes, extreme_rate, words)
        style.over_layers(axes, rates.layers.index, words)
        style.legend_beside(axes)
    return figure


def _layer_shares(axes: Axes, rates: Rates, words: Language) -> None:
    labels, layers = words.labels, rates.layers
    axes.set_title(labels["layer_shares"], loc="left")
    base = pd.Series(0.0, layers.index)
    for block, share in layer_shares(layers).items():
        axes.bar(layers.index, share, 0.8, base, color=style.BLOCK_COLOURS[block], label=labels[f"{block}_part"])
        base += share
    if rates.target_ratio is not None:
        target = words.label("target", rate=words.percent(rates.target_ratio))
        axes.axhline(rates.target_ratio, color="black", linestyle="--", linewidth=1.6, label=target)
    style.as_rates(axes, labels["of_layer"])


def layer_shares(layers: pd.DataFrame) -> pd.DataFrame:
    """Return what each layer loses by its MLP and by its attention, as shares of all its parameters.

    The columns `mlp` and `attention` add up to the layer's rate; NaN where the counts are unknown.
    """
    params = layers["attention_params"] + layers["mlp_params"]
    return pd.DataFrame({block: layers[f"{block}_removed"] / params for block in ("mlp", "attention")})


def _block_rates(axes: Axes, rates: Rates, words: Language) -> None:
    labels, layers, limits = words.labels, rates.layers, rates.limits or Limits()
    axes.set_title(labels["block_rates"], loc="left")
    for block, offset in OFFSETS.items():
        color = style.BLOCK_COLOURS[block]
        axes.bar(layers.index + offset, layers[RATE_OF[block]], width=BAR, color=color, label=labels[block])
    _mark_bound_blocks(axes, rates, labels["at_limit"])
    protected = sorted({layer % len(layers) for layer in limits.protect})
    if protected:
        axes.plot(protected, [0.015] * len(protected), "s", color="black", markersize=4, label=labels["protected"])
    first, last = layers.index.min() - 0.5, layers.index.max() + 0.5
    early = first + (limits.early_layers.count if limits.early_layers else 0)
    for rate, name, color, linestyle, linewidth in _lines(limits):
        until = min(early, last) if name == "early_limit" else last
        label = words.label(name, rate=words.percent(rate))
        axes.hlines(rate, first, until, color=color, linestyle=linestyle, linewidth=linewidth, label=label)
    style.as_rates(axes, labels["of_block"])


def _mark_bound_blocks(axes: Axes, rates: Rates, label: str) -> None:
    names = {block for bound in rates.bound for block in bound.blocks}
    blocks = sorted((int(layer), block) for layer, block in (name.split(".") for name in names))
    known = [(layer, block) for layer, block in blocks if layer in rates.layers.index and block in OFFSETS]
    if known:
        x = [layer + OFFSETS[block] for layer, block in known]
        y = [rates.layers.loc[layer, RATE_OF[block]] + 0.03 for layer, block in known]
        style.mark(axes, x, y, len(rates.layers), style.PURPLE, label)


def _lines(limits: Limits) -> list[tuple[float, str, str, str, float]]:
    """Return rate, label, colour, style and width of the line of each limit in force."""
    early, colours = limits.early_layers, style.BLOCK_COLOURS
    lines = [
        # The limit is often the extreme rate itself: the wide line comes first and stays visible below it.
        (limits.max_rate, "limit", style.PALE_PURPLE, "-", 5.0),
        *((getattr(limits, block).max_rate, f"{block}_limit", colours[block], "-", 1.6) for block in OFFSETS),
        (early and early.max_rate, "early_limit", style.PURPLE, "-", 2.0),
        (limits.min_rate, "minimum", style.PURPLE, "-.", 1.6),
        *((getattr(limits, block).min_rate, f"{block}_minimum", colours[block], "-.", 1.6) for block in OFFSETS),
    ]
    return [line for line in lines if line[0] is not None]
