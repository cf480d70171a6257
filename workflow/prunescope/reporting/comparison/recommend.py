"""The setting that the numbers recommend, in sentences that claim no more than was measured."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import shown
from prunescope.evaluation.bootstrap import ratio_interval
from prunescope.reporting.comparison.frame import Comparison, Measurement

SAME_RATIO = 0.005
"""Achieved ratios that differ by less count as the same."""
SCOPE = (
    "This holds for this model, these test texts and this calibration sample; another seed or text may order them "
    "differently."
)


def best(compared: Comparison) -> dict[str, str]:
    """Return, for every ratio that two or more experiments reached, the best experiment and what makes it that."""
    found = {}
    for group in _contested(compared):
        means = overall(compared, group)
        if means.notna().all():
            share = 100 * group["removed of all"].mean()
            found[means.idxmin()] = f"lowest perplexity of {len(group)} experiments at {share:.0f} % of all parameters"
    return found


def recommend(compared: Comparison) -> list[str]:
    """Return a sentence or two for every ratio that two or more experiments reached, and what limits them.

    Of a single experiment: how it compares with the unpruned model.
    """
    if len(compared.numbers) == 1:
        return [*_alone(compared), "A recommendation needs a second experiment."]
    groups = _contested(compared)
    if not groups:
        return [
            "No two experiments removed the same share of the parameters, so that none is better than another by "
            "perplexity alone: choose on the curve of perplexity against ratio."
        ]
    return [" ".join(_for(compared, group)) for group in groups] + [SCOPE]


def _alone(compared: Comparison) -> list[str]:
    said = []
    for measured in compared.measurements:
        (after,), (before,) = compared.numbers[measured.column], compared.unpruned[measured.column]
        times = (
            f"{shown(after, digits=1)}, {shown(after / before)} times the unpruned model's {shown(before, digits=1)}"
        )
        said.append(f"`{compared.numbers.index[0]}`: perplexity on {measured} {times}.")
    return said


def _contested(compared: Comparison) -> list[pd.DataFrame]:
    return [group for group in by_ratio(compared.numbers) if len(group) > 1]


def by_ratio(numbers: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows in groups of the same achieved ratio, ascending."""
    ordered = numbers.sort_values("removed of all")
    steps = ordered["removed of all"].diff() > SAME_RATIO
    return [group for _, group in ordered.groupby(steps.cumsum())]


def overall(compared: Comparison, numbers: pd.DataFrame) -> pd.Series:
    """Return the geometric mean of every experiment's perplexities, over all texts and protocols."""
    columns = [measured.column for measured in compared.measurements]
    return np.exp(np.log(numbers[columns].astype(float)).mean(axis=1, skipna=False))


def _for(compared: Comparison, group: pd.DataFrame) -> list[str]:
    means = overall(compared, group).sort_values()
    ratio = f"At {100 * group['removed of all'].mean():.0f} % of all parameters"
    if means.isna().any():
        return [f"{ratio}: no recommendation, since not all experiments were measured on the same texts."]
    best, second = means.index[:2]
    what = (
        f"perplexity on {compared.measurements[0]}"
        if len(compared.measurements) == 1
        else f"geometric mean of the perplexities on {_listed(map(str, compared.measurements))}"
    )
    said = [
        f"{ratio}: `{best}` has the lowest {what} of {len(group)} experiments, {shown(means.iloc[0], digits=1)}; "
        f"next is `{second}` with {shown(means.iloc[1], digits=1)}."
    ]
    said += _elsewhere(compared, group, best)
    return [*said, _ties(compared, list(means.index[1:]), best)]


def _elsewhere(compared: Comparison, group: pd.DataFrame, best: str) -> list[str]:
    """Say where another experiment is better than the one that is best over all."""
    said = []
    for measured in compared.measurements:
        lowest = group[measured.column].astype(float).idxmin()
        if lowest != best:
            values = [shown(group.loc[name, measured.column], digits=1) for name in (lowest, best)]
            said.append(f"On {measured} alone `{lowest}` is lower ({values[0]} against {values[1]}).")
    return said


def _ties(compared: Comparison, others: list[str], best: str) -> str:
    told = {
        name: [clearly_worse(compared, name, best, measured) for measured in compared.measurements] for name in others
    }
    if any(worse is None for answers in told.values() for worse in answers):
        return "No interval was measured, so that small differences may be chance."
    tied = [name for name, answers in told.items() if not all(answers)]
    if not tied:
        return "All others are worse by more than the choice of windows explains (95 %)."
    return f"Not clearly worse (95 %, over the choice of windows): {_listed(f'`{name}`' for name in tied)}."


def clearly_worse(compared: Comparison, name: str, best: str, measured: Measurement) -> bool | None:
    """Return whether `name` has the higher perplexity by more than chance; None where nothing tells.

    By the paired 95 % interval of the ratio on the same windows where the losses of both were kept, else by their
    own intervals, which must not overlap.
    """
    one, other = (_losses(compared.folders[experiment], measured) for experiment in (name, best))
    if one is not None and other is not None and one["tokens"].equals(other["tokens"]):
        ratio = ratio_interval(one["pruned"].to_numpy(), other["pruned"].to_numpy(), one["tokens"].to_numpy())
        return None if ratio is None else ratio[0] > 1
    low, high = measured.bounds
    if compared.numbers.loc[[name, best], [low, high]].isna().any(axis=None):
        return None
    return bool(compared.numbers.loc[name, low] > compared.numbers.loc[best, high])


def _losses(folder: ExperimentFolder, measured: Measurement) -> pd.DataFrame | None:
    """Return ``tokens`` and ``pruned`` (summed losses) by window, or None where they were not kept."""
    if not folder.windows.exists():
        return None
    rows = folder.windows.read()
    rows = rows[(rows["dataset"] == measured.text) & (rows["protocol"] == measured.protocol)]
    return rows.set_index("window")[["tokens", "pruned"]].sort_index()


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
