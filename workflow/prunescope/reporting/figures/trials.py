"""`trials.png`: what other settings would do, measured on held-out text."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from prunescope.artifacts.perplexity import shown
from prunescope.artifacts.trials import Candidate, Trials
from prunescope.diagnosis.words import ENGLISH, Language
from prunescope.reporting.figures import style

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.RED)
"""Of texts, in turn."""
ROW, HEAD, SPREAD = 0.3, 2.6, 0.5
"""Inches of a candidate and of title and axis; how much of a row the dots of all texts are spread over."""

FAR = 10.0
"""Ratio from which a setting stands at the edge with its number: a destroyed model would squeeze all the others."""

WIDE = 30
"""Range of ratios, as a factor, above which fewer ticks are labelled."""


def trials_figure(trials: Trials, subtitle: str = "", words: Language = ENGLISH) -> Figure:
    """Draw a row per setting that was measured, the best at the top: a dot and its interval per text.

    The x axis is the ratio of its perplexity to the experiment's. The solid line is the experiment, the dashed ones are
    the unpruned model. What is worse by more than `FAR` stands at the right edge, with its ratio.
    """
    found = trials.ranked
    title = words.labels["trials" if trials.ridge is None else "refitted_trials"]
    figure = style.figure(HEAD + ROW * len(found), title, subtitle)
    if not found:
        figure.text(0.5, 0.4, words.labels["nothing_tried"], ha="center")
        return figure
    axes = figure.subplots()
    axes.axvline(1, color="black", linewidth=1.2, label=words.labels["this_experiment"])
    own = next(candidate for candidate in found if candidate.kind == "experiment")
    for number, (text, tried) in enumerate(trials.texts.items()):
        colour = COLOURS[number % len(COLOURS)]
        dense = tried.dense / own.texts[text].perplexity
        label = words.label("dense_on", text=text, perplexity=shown(tried.dense))
        axes.axvline(dense, color=colour, linestyle="--", linewidth=1.2, label=label)
        _dots(axes, found, text, SPREAD * ((number + 0.5) / len(trials.texts) - 0.5), colour)
    _rows(axes, found)
    axes.set_xlabel(words.labels["trial_ratio"])
    style.legend_beside(axes)
    return figure


def _dots(axes: Axes, found: list[Candidate], text: str, offset: float, colour: str) -> None:
    near = []
    for row, effect in enumerate(candidate.texts[text] for candidate in found):
        if effect.ratio > FAR:
            said = f"{shown(effect.ratio, digits=0)} ▸"
            axes.annotate(said, (FAR, row + offset), color=colour, fontsize=7, ha="right", va="center")
            continue
        low, high = (effect.ratio if end is None else min(end, FAR) for end in (effect.low, effect.high))
        axes.plot([low, high], [row + offset] * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
        near.append((effect.ratio, row + offset))
    axes.plot(*zip(*near, strict=True), "o", color=colour, markersize=5, markeredgecolor="white", label=text)


def _rows(axes: Axes, found: list[Candidate]) -> None:
    axes.set_yticks(range(len(found)), [candidate.name for candidate in found], fontsize=9)
    axes.set_ylim(len(found) - 0.4, -0.6)
    for row, (candidate, label) in enumerate(zip(found, axes.get_yticklabels(), strict=True)):
        if candidate.kind == "experiment":
            label.set_fontweight("bold")
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color="black", alpha=0.035, lw=0, zorder=0)
    axes.set_xscale("log")
    if any(effect.ratio > FAR for candidate in found for effect in candidate.texts.values()):
        axes.set_xlim(right=FAR)
    left, right = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right > WIDE * left else (1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(True, axis="x", linewidth=0.5, alpha=0.4)
    axes.set_axisbelow(True)
