"""How alike experiments are in the groups that they keep and remove."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.errors import DataError

GROUP = ["layer", "block", "group"]

Folders = Mapping[str, ExperimentFolder]
"""Of experiments, by name."""


def kept_similarity(folders: Folders) -> pd.DataFrame:
    """Return the Jaccard similarity of the kept groups between all pairs of experiments, weighted by parameters.

    ``J(A, B) = parameters kept by both / parameters kept by either``, in [0, 1], ``[experiments, experiments]``.

    Raises:
        DataError: the experiments are not of one model.
    """
    return _similarity({name: ~removed for name, removed in _columns(folders, "removed").items()}, folders)


def removed_similarity(folders: Folders) -> pd.DataFrame:
    """Return the same of the removed groups; two experiments that both remove nothing are alike."""
    return _similarity(_columns(folders, "removed"), folders)


def score_correlation(folders: Folders) -> pd.DataFrame:
    """Return Spearman's rank correlation of the scores of all groups between all pairs of experiments.

    In [-1, 1], ``[experiments, experiments]``; limits act on the choice, not on the scores.

    Raises:
        DataError: the experiments are not of one model.
    """
    return pd.DataFrame(_columns(folders, "score")).rank().corr()


def _similarity(chosen: dict[str, np.ndarray], folders: Folders) -> pd.DataFrame:
    members = np.array(list(chosen.values()), dtype=float)
    both = (members * next(iter(_columns(folders, "cost").values()))) @ members.T
    alone = np.diag(both)
    either = alone[:, None] + alone[None, :] - both
    values = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return pd.DataFrame(values, index=list(chosen), columns=list(chosen))


def _columns(folders: Folders, column: str) -> dict[str, np.ndarray]:
    """Return a column of every importance table, in the same order of groups."""
    found = {name: folder.table.read().sort_values(GROUP)[column].to_numpy() for name, folder in folders.items()}
    if len({len(groups) for groups in found.values()}) > 1:
        raise DataError("only experiments of one model can be compared group by group")
    return found
