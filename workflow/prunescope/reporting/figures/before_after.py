"""`before_after.png`: the rates of an experiment beside those of its reference."""

import textwrap
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from prunescope.artifacts.perplexity import PerplexityReport, shown
from prunescope.diagnosis.measures import RATE_OF, rate_spread
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

    Grey bars are the reference, an outline is the experiment; what is above the dotted line is extreme. The panel's
    title says what became of the highest rate and the spread.

    Args:
        before, after: `Rates.layers` of reference and experiment, the same layers.
    """
    figure = style.figure(10.5, words.labels["before_after"], subtitle)
    for axes, block in zip(figure.subplots(3, 1), RATE_OF, strict=True):
        axes.set_title(_change(before, after, block, words), loc="left")
        axes.bar(before.index, before[RATE_OF[block]], 0.8, color=style.LIGHT, label=words.labels["before"])
        edges = np.append(after.index, after.index.max() + 1) - 0.5
        look = {"baseline": None, "color": COLOURS[block], "linewidth": 2.0 if len(after) <= style.MANY else 1.4}
        axes.stairs(after[RATE_OF[block]], edges, label=words.labels["after"], **look)
        style.threshold(axes, extreme_rate, words)
        style.over_layers(axes, before.index, words)
        style.as_rates(axes, words.labels["rate"])
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


def perplexity_lines(before: PerplexityReport, after: PerplexityReport, words: Language) -> str:
    """Say what became of the perplexity of each text and protocol that both were measured on, the same tokens."""
    said = [
        words.label(
            "perplexity_changed",
            text=f"{text} {protocol}",
            before=shown(old.perplexity),
            after=shown(new.perplexity),
            dense=shown(after.baseline[text][protocol].perplexity),
        )
        for text, protocols in after.pruned.items()
        for protocol, new in protocols.items()
        if (old := before.pruned.get(text, {}).get(protocol)) and old.sha256 == new.sha256
    ]
    return "\n".join(_wrapped(f"{words.labels['perplexity']}{words.labels['colon']}", said)) if said else ""


def _settings(spec: BeforeAfterSpec, words: Language) -> list[str]:
    if not spec.changes:
        return [words.labels["same_settings"]]
    said = [
        words.label("setting", path=path, before=old, after=new)
        for path, (old, new) in list(spec.changes.items())[:SETTINGS]
    ]
    if len(spec.changes) > SETTINGS:
        said.append(words.label("more_settings", count=len(spec.changes) - SETTINGS))
    return _wrapped("", said)


def _wrapped(first: str, said: list[str]) -> list[str]:
    """Return lines that break between what is said, not within: hard spaces until they are broken."""
    text = first.replace(" ", HARD) + "; ".join(part.replace(" ", HARD) for part in said)
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
