"""Stability: do two halves of the calibration set rank the groups of a layer alike?"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prunescope.artifacts.facts import BlockFacts
from prunescope.ranks import rank_correlation


@dataclass(frozen=True)
class RankStability:
    """Rank correlation of the importance between two halves of the calibration set.

    Attributes:
        criterion: the criterion that was compared.
        layers: layer -> Spearman correlation; None where there is nothing to compare.
        samples: windows in both halves together.
        others: further criteria that were compared -> their `layers`.
    """

    criterion: str
    layers: dict[int, float | None]
    samples: int
    others: dict[str, dict[int, float | None]]


def layer_correlations(blocks: Iterable[BlockFacts], halves: dict[str, np.ndarray]) -> dict[int, float | None]:
    """Correlate saliency per cost between the halves, over the attention and MLP groups of each layer together.

    Selection compares both kinds of group with each other, hence one ranking.

    Args:
        halves: block name (``"{layer}.{kind}"``) -> ``[2, groups]``. With a single batch the second half is
            zero: there is no correlation.
    """
    layers: dict[int, list[np.ndarray]] = defaultdict(list)
    for block in blocks:
        layers[block.layer].append(halves[f"{block.layer}.{block.block}"] / block.cost)
    return {layer: rank_correlation(*np.concatenate(parts, axis=1)) for layer, parts in layers.items()}
