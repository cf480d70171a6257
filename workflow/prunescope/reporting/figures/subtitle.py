"""The lines under a figure's title: whose it is, and its numbers."""

import pandas as pd

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.summary import PruningSummary
from prunescope.diagnosis.measures import extreme_layers
from prunescope.diagnosis.words import Language
from prunescope.diagnosis.words.numbers import runs

SHOWN = 60
"""Characters of a list of layers."""


def experiment_name(folder: ExperimentFolder) -> str:
    """Return ``{model} / {experiment}``."""
    return f"{folder.path.parent.name} / {folder.path.name}"


def what_went(summary: PruningSummary, layers: pd.DataFrame, extreme_rate: float, words: Language) -> str:
    """Say what was removed and which layers are extreme, in two lines.

    Args:
        layers: `Rates.layers`.
    """
    removed = words.label(
        "removed_of_all",
        rate=words.value("ratio", summary.ratio_of_total),
        attention=words.percent(summary.attention_rate),
        mlp=words.percent(summary.mlp_rate),
    )
    return f"{removed}\n{extreme_line(layers, extreme_rate, words)}"


def extreme_line(layers: pd.DataFrame, extreme_rate: float, words: Language, label: str = "extreme_layers") -> str:
    """Say how many layers are extreme and which; a long list is cut short."""
    found = [extreme.layer for extreme in extreme_layers(layers, extreme_rate)]
    said = runs(found)
    if len(said) > SHOWN:
        said = said[: said.rindex(",", 0, SHOWN) + 1] + " ..."
    counted = f"{len(found)} ({said})" if found else words.labels["none"]
    return f"{words.labels[label]}{words.labels['colon']}{counted}"
