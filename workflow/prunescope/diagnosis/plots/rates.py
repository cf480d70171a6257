"""`pruning_rates.png`: where the parameters were taken."""

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from prunescope.config.sections import Limits
from prunescope.diagnosis.evidence import Rates
from prunescope.diagnosis.measures import RATE_OF
from prunescope.diagnosis.plots import style
from prunescope.diagnosis.texts import ENGLISH
from prunescope.diagnosis.wording import Language

BAR = 0.38
OFFSETS = {"attention": -BAR / 2, "mlp": BAR / 2}


NO_LIMITS = Limits()


@dataclass(frozen=True)
class _Line:
    """A horizontal line at `rate`, over all layers or the first `layers`."""

    rate: float
    label: str
    color: str
    linestyle: str
    linewidth: float = 1.6
    layers: int | None = None


def pruning_rates(
    rates: Rates,
    extreme_rate: float = 0.5,
    limits: Limits = NO_LIMITS,
    subtitle: str = "",
    words: Language = ENGLISH,
) -> Figure:
    """Draw the attention and MLP rate of every layer as bars and its total rate as a line.

    The target ratio, the threshold of the report and the limits are lines; blocks that stand at a limit
    are marked.
    """
    layers, labels = rates.layers, words.labels
    figure = style.figure(5.8, labels["rates"], subtitle)
    axes = figure.subplots()
    for block, offset in OFFSETS.items():
        look = {"width": BAR, "color": style.BLOCK_COLOURS[block], "label": labels[block]}
        axes.bar(layers.index + offset, layers[RATE_OF[block]], **look)
    style.curve(axes, layers["rate"], labels["total"], "black", "o")
    _mark_bound_blocks(axes, rates, labels["at_limit"])
    first, last = layers.index.min() - 0.5, layers.index.max() + 0.5
    for line in _lines(rates, extreme_rate, limits):
        until = last if line.layers is None else min(first + line.layers, last)
        look = {"color": line.color, "linestyle": line.linestyle, "linewidth": line.linewidth}
        axes.hlines(line.rate, first, until, label=labels[line.label].format(rate=words.percent(line.rate)), **look)
    style.over_layers(axes, layers.index, words)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel(labels["rate"])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    style.legend_beside(axes)
    return figure


def _mark_bound_blocks(axes: Axes, rates: Rates, label: str) -> None:
    names = {block for bound in rates.bound for block in bound.blocks}
    blocks = sorted((int(layer), block) for layer, block in (name.split(".") for name in names))
    known = [(layer, block) for layer, block in blocks if layer in rates.layers.index and block in OFFSETS]
    if known:
        x = [layer + OFFSETS[block] for layer, block in known]
        y = [rates.layers.loc[layer, RATE_OF[block]] + 0.02 for layer, block in known]
        axes.plot(x, y, "v", color=style.PURPLE, markersize=6, label=label)


def _lines(rates: Rates, extreme_rate: float, limits: Limits) -> Iterator[_Line]:
    # The limit is often the extreme rate itself: the wide line comes first and stays visible below it.
    if limits.max_rate is not None:
        yield _Line(limits.max_rate, "limit", style.PALE_PURPLE, "-", linewidth=5.0)
    if limits.attention.max_rate is not None:
        yield _Line(limits.attention.max_rate, "attention_limit", style.BLOCK_COLOURS["attention"], "-")
    if limits.mlp.max_rate is not None:
        yield _Line(limits.mlp.max_rate, "mlp_limit", style.BLOCK_COLOURS["mlp"], "-")
    if limits.early_layers is not None:
        yield _Line(limits.early_layers.max_rate, "early_limit", style.PURPLE, "-", 2.0, limits.early_layers.count)
    if limits.min_rate is not None:
        yield _Line(limits.min_rate, "minimum", style.PURPLE, "-.")
    yield _Line(extreme_rate, "extreme_rate", style.RED, ":")
    if rates.target_ratio is not None:
        yield _Line(rates.target_ratio, "target", style.GREEN, "--")
