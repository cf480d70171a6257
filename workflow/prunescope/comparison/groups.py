"""How alike experiments are in the groups that they keep and remove."""

from pathlib import Path

import numpy as np
import pandas as pd

from prunescope.errors import DataError

COLUMNS = ["layer", "block", "group", "cost", "removed"]


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


def _similarity(chosen: dict[str, np.ndarray], cost: np.ndarray) -> pd.DataFrame:
    members = np.array(list(chosen.values()), dtype=float)
    both = (members * cost) @ members.T
    alone = np.diag(both)
    either = alone[:, None] + alone[None, :] - both
    values = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return pd.DataFrame(values, index=list(chosen), columns=list(chosen))


def _table(directory: Path) -> pd.DataFrame:
    file = directory / "analysis/importance_table.parquet"
    if not file.is_file():
        raise DataError(f"no importance table at {file}; run the importance step first")
    return pd.read_parquet(file, columns=COLUMNS).sort_values(COLUMNS[:3])


def _cost(directories: dict[str, Path]) -> np.ndarray:
    return _table(next(iter(directories.values())))["cost"].to_numpy(dtype=float)


def _removed(directories: dict[str, Path]) -> dict[str, np.ndarray]:
    removed = {name: _table(directory)["removed"].to_numpy(dtype=bool) for name, directory in directories.items()}
    if len({len(groups) for groups in removed.values()}) > 1:
        raise DataError("only experiments of one model can be compared group by group")
    return removed
