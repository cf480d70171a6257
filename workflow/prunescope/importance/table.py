"""The importance table: one row per group, with its saliency, cost, prior and score."""

import numpy as np
import pandas as pd

from prunescope.errors import NonFiniteError
from prunescope.importance.prior import Prior, prior_weight
from prunescope.models.facts import BlockFacts

COLUMNS = ["layer", "block", "group", "saliency", "cost", "prior", "score", "rank", "removed"]


def build_table(
    blocks: tuple[BlockFacts, ...],
    saliency: dict[str, np.ndarray],
    prior: Prior | None,
    temperature: float,
) -> pd.DataFrame:
    """Score every group: ``score = saliency / cost * ln(1 + max(prior, 0)) ^ T``.

    Args:
        blocks: all blocks of the model, in order.
        saliency: block name (``"{layer}.{kind}"``) -> float ``[groups]``.
        prior: None for T = 0.

    Returns:
        a frame with `COLUMNS`; `rank` counts from 0 (lowest score; ties by layer, block, group) and
        `removed` is False everywhere until selection.

    Raises:
        NonFiniteError: a saliency is NaN or infinite; names the block.
    """
    frames = [_block_frame(block, saliency[f"{block.layer}.{block.block}"], prior) for block in blocks]
    table = pd.concat(frames, ignore_index=True)
    weight = prior_weight(table["prior"].to_numpy(), temperature) if prior is not None else 1.0
    table["score"] = table["saliency"] / table["cost"] * weight
    table["rank"] = rank(table)
    table["removed"] = False
    table["block"] = table["block"].astype("category")
    return table[COLUMNS]


def _block_frame(block: BlockFacts, saliency: np.ndarray, prior: Prior | None) -> pd.DataFrame:
    if not np.isfinite(saliency).all():
        raise NonFiniteError(
            f"saliency of the {block.block} of layer {block.layer} is not finite; "
            "collect the gradients again with gradients.dtype: float32"
        )
    return pd.DataFrame(
        {
            "layer": np.int32(block.layer),
            "block": block.block,
            "group": np.arange(block.groups, dtype=np.int32),
            "saliency": saliency.astype(np.float64),
            "cost": np.int64(block.cost),
            "prior": np.nan if prior is None else prior.values[block.block][block.layer],
        }
    )


def rank(table: pd.DataFrame) -> np.ndarray:
    """Return int32 ranks by ascending score; the table's order (layer, block, group) breaks ties."""
    order = np.argsort(table["score"].to_numpy(), kind="stable")
    ranks = np.empty(len(table), dtype=np.int32)
    ranks[order] = np.arange(len(table), dtype=np.int32)
    return ranks
