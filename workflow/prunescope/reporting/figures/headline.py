"""The line under a plot's title: the numbers of its experiment."""

import pandas as pd

from prunescope.diagnosis.evidence import Rates
from prunescope.diagnosis.measures import extreme_layers, overall_rate
from prunescope.diagnosis.words import Language
from prunescope.diagnosis.words.numbers import runs

SHOWN = 60


def headline(rates: Rates, ratio_of_total: float | None, extreme_rate: float, words: Language) -> str:
    """Say what was removed and which layers are extreme, what is unknown left out.

    Args:
        ratio_of_total: removed parameters of all parameters.
    """
    extreme = extreme_line(rates.layers, extreme_rate, words)
    attention, mlp = (overall_rate(rates.layers, block) for block in ("attention", "mlp"))
    if ratio_of_total is None or attention is None or mlp is None:
        return extreme
    removed = words.label(
        "removed_of_all",
        rate=words.value("ratio", ratio_of_total),
        attention=words.percent(attention),
        mlp=words.percent(mlp),
    )
    return f"{removed}\n{extreme}"


def extreme_line(rates: pd.DataFrame, extreme_rate: float, words: Language, label: str = "extreme_layers") -> str:
    """Say how many layers are extreme and which; a long list is cut short."""
    layers = [found.layer for found in extreme_layers(rates, extreme_rate)]
    said = runs(layers)
    if len(said) > SHOWN:
        said = said[: said.rindex(",", 0, SHOWN) + 1] + " ..."
    counted = f"{len(layers)} ({said})" if layers else words.labels["none"]
    return f"{words.labels[label]}{words.labels['colon']}{counted}"
