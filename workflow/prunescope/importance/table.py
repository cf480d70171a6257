"""The importance table: one row per group, with its saliency, cost, prior and score."""

import numpy as np
import pandas as pd

from prunescope.artifacts.facts import KINDS, BlockFacts
from prunescope.config.sections import Corrections, Method
from prunescope.errors import NonFiniteError
from prunescope.importance.corrections import correct, depth_weight
from prunescope.importance.prior import Prior, prior_weight, share_out

COLUMNS = ["layer", "block", "group", "saliency", "cost", "prior", "score", "rank", "removed"]
NO_CORRECTIONS = Corrections()


def build_table(
    blocks: tuple[BlockFacts, ...],
    saliency: dict[str, np.ndarray],
    prior: Prior | None,
    method: Method,
    corrections: Corrections = NO_CORRECTIONS,
) -> pd.DataFrame:
    """Score every group from its saliency, its cost and the prior of its block.

    Args:
        blocks: all blocks of the model, in order.
        saliency: block name (``"{layer}.{kind}"``) -> float ``[groups]``.
        prior: None where none was measured: the score is ``saliency / cost``.

    Returns:
        a frame with `COLUMNS`; `saliency` is as measured, `score` after all corrections. `rank` counts from
        0 (lowest score; ties by layer, block, saliency, group), `removed` is False everywhere until selection.

    Raises:
        NonFiniteError: a saliency is NaN or infinite; names the block.
    """
    measured = [saliency[f"{block.layer}.{block.block}"].astype(np.float64) for block in blocks]
    _check_finite(blocks, measured)
    scores = [
        score_block(block, density, prior, method)
        for block, density in zip(blocks, correct(blocks, measured, corrections), strict=True)
    ]
    groups = [block.groups for block in blocks]
    layer = np.repeat(np.array([block.layer for block in blocks], dtype=np.int32), groups)
    kind = np.repeat([KINDS.index(block.block) for block in blocks], groups)
    score = np.concatenate(scores) * depth_weight(layer, blocks[-1].layer + 1, corrections.depth_weight)
    score[kind == KINDS.index("attention")] *= corrections.attention_weight
    table = pd.DataFrame(
        {
            "layer": layer,
            "block": pd.Categorical.from_codes(kind, list(KINDS)),
            "group": np.concatenate([np.arange(count, dtype=np.int32) for count in groups]),
            "saliency": np.concatenate(measured),
            "cost": np.repeat(np.array([block.cost for block in blocks], dtype=np.int64), groups),
            "prior": np.repeat([np.nan if prior is None else prior.of(block) for block in blocks], groups),
            "score": score,
        }
    )
    return table.assign(rank=rank(table, groups), removed=False)[COLUMNS]


def score_block(block: BlockFacts, density: np.ndarray, prior: Prior | None, method: Method) -> np.ndarray:
    """Return the scores of a block's groups, float64 ``[groups]``, before the weights of depth and of attention.

    ``multiply``: ``saliency / cost * ln(1 + max(prior, 0)) ^ T``; ``share``: ``saliency / sum of the block's saliency *
    max(prior, floor) / cost``, without T. Under a layer-wise prior each block has its layer's removal loss, in both.

    Args:
        density: corrected saliency per parameter, ``[groups]``.
    """
    if prior is None:
        return density
    if method.combine == "share":
        return share_out(prior.of(block), method.prior_floor, density) / block.cost
    return density * prior_weight(prior.of(block), method.temperature)


def rank(table: pd.DataFrame, groups: list[int]) -> np.ndarray:
    """Return int32 ranks by ascending score; ties by block in the table's order, then as `ascending`.

    Args:
        groups: rows of each block, in the table's order.
    """
    inside = np.concatenate([start + order for start, order in ascending(table, groups)])
    order = inside[np.argsort(table["score"].to_numpy()[inside], kind="stable")]
    ranks = np.empty(len(table), dtype=np.int32)
    ranks[order] = np.arange(len(table), dtype=np.int32)
    return ranks


def ascending(table: pd.DataFrame, rows: list[int]) -> list[tuple[int, np.ndarray]]:
    """Sort each stretch of `rows` consecutive rows by score, then measured saliency, then position.

    Saliency decides where a prior of 0 or clipping makes scores equal.

    Returns:
        for each stretch its first row and the order within it, int64 ``[rows]``.
    """
    starts = np.cumsum([0, *rows[:-1]])
    score, saliency = table["score"].to_numpy(), table["saliency"].to_numpy()
    places = [slice(start, start + count) for start, count in zip(starts, rows, strict=True)]
    return [(place.start, np.lexsort((saliency[place], score[place]))) for place in places]


def _check_finite(blocks: tuple[BlockFacts, ...], measured: list[np.ndarray]) -> None:
    for block, values in zip(blocks, measured, strict=True):
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"saliency of the {block.block} of layer {block.layer} is not finite; "
                "collect the gradients again with gradients.dtype: float32"
            )
