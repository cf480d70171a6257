"""`before_after.png`: the rates of an experiment beside those of its reference."""

import textwrap
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunescope.diagnosis.measures import RATE_OF, extreme_layers, rate_spread
from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style
from prunescope.reporting.figures.subtitle import extreme_line
from prunescope.steps.diagnosis import BeforeAfterSpec

COLOURS = style.BLOCK_COLOURS | {"total": "black"}
WRAP, SETTINGS, HARD = 110, 6, "\xa0"


def before_after(
    before: pd.DataFrame, after: pd.DataFrame, extreme_rate: float = 0.5, subtitle: str = "", words: Language = ENGLISH
) -> Figure:
    """Draw three panels over the layer index: the rates of attention, MLP and whole layers.

    Grey bars are the reference, an outline is the experiment. The extreme layers of the reference are shaded, those
    of the experiment marked at the top. The panel's title says what became of the highest rate and the spread.

    Args:
        before, after: `Rates.layers` of reference and experiment, the same layers.
    """
    figure = style.figure(10.5, words.labels["before_after"], subtitle)
    for axes, block in zip(figure.subplots(3, 1), RATE_OF, strict=True):
        axes.set_title(_change(before, after, block, words), loc="left")
        style.shade_extreme(axes, before, extreme_rate, words.labels["extreme_before"])
        axes.bar(before.index, before[RATE_OF[block]], 0.8, color=style.LIGHT, label=words.labels["before"])
        edges = np.append(after.index, after.index.max() + 1) - 0.5
        look = {"baseline": None, "color": COLOURS[block], "linewidth": 2.0 if len(after) <= style.MANY else 1.4}
        axes.stairs(after[RATE_OF[block]], edges, label=words.labels["after"], **look)
        _mark_extreme(axes, after, extreme_rate, words.labels["extreme_after"])
        style.threshold(axes, extreme_rate, words)
        style.over_layers(axes, before.index, words)
        style.as_rates(axes, words.labels["rate"])
        axes.set_ylim(0, 1.12)
        style.legend_beside(axes)
    return figure


def comparison_lines(
    spec: BeforeAfterSpec, before: pd.DataFrame, after: pd.DataFrame, extreme_rate: float, words: Language
) -> str:
    """Say who is compared, which settings differ, and which layers are extreme."""
    names, extreme = [], []
    for name, layers, which in ((spec.reference, before, "before"), (spec.experiment, after, "after")):
        names.append(f"{words.labels[which]}{words.labels['colon']}{spec.model} / {name}")
        extreme.append(extreme_line(layers, extreme_rate, words, f"extreme_{which}"))
    return "\n".join([*names, *_settings(spec, words), *extreme])


def _settings(spec: BeforeAfterSpec, words: Language) -> list[str]:
    if not spec.changes:
        return [words.labels["same_settings"]]
    said = [
        words.label("setting", path=path, before=old, after=new)
        for path, (old, new) in list(spec.changes.items())[:SETTINGS]
    ]
    if len(spec.changes) > SETTINGS:
        said.append(words.label("more_settings", count=len(spec.changes) - SETTINGS))
    # Lines break between settings, not within: hard spaces until they are broken.
    text = "; ".join(setting.replace(" ", HARD) for setting in said)
    return [line.replace(HARD, " ") for line in textwrap.wrap(text, WRAP, break_on_hyphens=False)]


def _change(before: pd.DataFrame, after: pd.DataFrame, block: str, words: Language) -> str:
    old, new = rate_spread(before, block), rate_spread(after, block)
    if old is None or new is None:
        return words.labels[block]
    arrow = partial(words.label, "from_to")
    return words.label(
        "changed",
        block=words.labels[block],
        highest=arrow(before=words.percent(old.highest_rate), after=words.percent(new.highest_rate)),
        spread=arrow(before=f"{100 * old.value:.0f}", after=words.value("points", new.value)),
    )


def _mark_extreme(axes: Axes, layers: pd.DataFrame, extreme_rate: float, label: str) -> None:
    extreme = [found.layer for found in extreme_layers(layers, extreme_rate)]
    if extreme:
        style.mark(axes, extreme, [1.06] * len(extreme), len(layers), style.RED, label)
