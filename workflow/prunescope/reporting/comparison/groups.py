"""How alike experiments are in the groups that they keep and remove."""

from pathlib import Path

import numpy as np
import pandas as pd

from prunescope.errors import DataError

GROUP = ["layer", "block", "group"]


def kept_similarity(directories: dict[str, Path]) -> pd.DataFrame:
    """Return the Jaccard similarity of the kept groups between all pairs of experiments, weighted by parameters.

    ``J(A, B) = parameters kept by both / parameters kept by either``, in [0, 1], ``[experiments, experiments]``.

    Raises:
        DataError: the experiments are not of one model.
    """
    return _similarity({name: ~removed for name, removed in _removed(directories).items()}, _cost(directories))


def removed_similarity(directories: dict[str, Path]) -> pd.DataFrame:
    """Return the same of the removed groups; two experiments that both remove nothing are alike."""
    return _similarity(_removed(directories), _cost(directories))


def score_correlation(directories: dict[str, Path]) -> pd.DataFrame:
    """Return Spearman's rank correlation of the scores of all groups between all pairs of experiments.

    In [-1, 1], ``[experiments, experiments]``; limits act on the choice, not on the scores.

    Raises:
        DataError: the experiments are not of one model.
    """
    scores = _columns(directories, "score")
    return pd.DataFrame(scores).rank().corr()


def _similarity(chosen: dict[str, np.ndarray], cost: np.ndarray) -> pd.DataFrame:
    members = np.array(list(chosen.values()), dtype=float)
    both = (members * cost) @ members.T
    alone = np.diag(both)
    either = alone[:, None] + alone[None, :] - both
    values = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return pd.DataFrame(values, index=list(chosen), columns=list(chosen))


def _cost(directories: dict[str, Path]) -> np.ndarray:
    first = dict([next(iter(directories.items()))])
    return next(iter(_columns(first, "cost").values())).astype(float)


def _removed(directories: dict[str, Path]) -> dict[str, np.ndarray]:
    return {name: removed.astype(bool) for name, removed in _columns(directories, "removed").items()}


def _columns(directories: dict[str, Path], column: str) -> dict[str, np.ndarray]:
    """Return a column of every importance table, in the same order of groups."""
    found = {}
    for name, directory in directories.items():
        file = directory / "analysis/importance_table.parquet"
        if not file.is_file():
            raise DataError(f"no importance table at {file}; run the importance step first")
        found[name] = pd.read_parquet(file, columns=[*GROUP, column]).sort_values(GROUP)[column].to_numpy()
    if len({len(groups) for groups in found.values()}) > 1:
        raise DataError("only experiments of one model can be compared group by group")
    return found
