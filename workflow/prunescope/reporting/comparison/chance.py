"""Whether one experiment is better than another by more than the choice of evaluation windows explains."""

from pathlib import Path

import pandas as pd

from prunescope.evaluation.bootstrap import ratio_interval
from prunescope.reporting.comparison.frame import Comparison, Measurement

WINDOWS = "evaluation/windows.parquet"


def clearly_worse(compared: Comparison, name: str, best: str, measured: Measurement) -> bool | None:
    """Return whether `name` has the higher perplexity by more than chance; None where nothing tells.

    By the paired 95 % interval of the ratio on the same windows where the losses of both were kept, else by their
    own intervals, which must not overlap.
    """
    one, other = (_losses(compared.directories[experiment], measured) for experiment in (name, best))
    if one is not None and other is not None and one["tokens"].equals(other["tokens"]):
        ratio = ratio_interval(one["pruned"].to_numpy(), other["pruned"].to_numpy(), one["tokens"].to_numpy())
        return None if ratio is None else ratio[0] > 1
    low, high = measured.bounds
    if compared.numbers.loc[[name, best], [low, high]].isna().any(axis=None):
        return None
    return bool(compared.numbers.loc[name, low] > compared.numbers.loc[best, high])


def _losses(directory: Path, measured: Measurement) -> pd.DataFrame | None:
    """Return ``tokens`` and ``pruned`` (summed losses) by window, or None where they were not kept."""
    file = directory / WINDOWS
    if not file.is_file():
        return None
    rows = pd.read_parquet(file)
    rows = rows[(rows["dataset"] == measured.text) & (rows["protocol"] == measured.protocol)]
    return rows.set_index("window")[["tokens", "pruned"]].sort_index()
