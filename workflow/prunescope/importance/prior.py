"""The prior: how much a block matters as a whole, from the removal losses."""

import math
from dataclasses import dataclass

import numpy as np

from prunescope.artifacts.facts import KINDS, BlockFacts, BlockKind
from prunescope.artifacts.passes import BlockValues
from prunescope.artifacts.summary import NegativeDelta

AUTO_PERCENTILE = 25


@dataclass(frozen=True)
class Prior:
    """The prior of every block.

    Attributes:
        values: kind -> float64 ``[layers]``, in nats per token, as measured (may be negative).
        tau: the threshold that was applied.
        layer_wise: layers whose blocks share the layer's removal loss, because it is below tau.
    """

    values: dict[BlockKind, np.ndarray]
    tau: float
    layer_wise: list[int]

    def of(self, block: BlockFacts) -> float:
        """Return the prior of one block, nats per token, as measured."""
        return float(self.values[block.block][block.layer])

    def negative(self) -> list[NegativeDelta]:
        """List the blocks whose removal lowers the loss; ``"layer"``: all of it."""
        return [
            NegativeDelta(layer=layer, block=name, delta=float(self.values[kind][layer]))
            for layer in range(len(self.values[KINDS[0]]))
            for name, kind in ([("layer", KINDS[0])] if layer in self.layer_wise else zip(KINDS, KINDS, strict=True))
            if self.values[kind][layer] < 0
        ]


def choose_prior(removal: BlockValues, tau: float | str) -> Prior:
    """Choose each block's prior: its own removal loss, or its layer's where that is below tau.

    Args:
        removal: of each block and each layer.
        tau: 0: block-wise everywhere (below it only layers whose removal lowers the loss, and these stay block-wise
            too), ``inf``: layer-wise everywhere, ``"auto"``: the 25th percentile of the layer losses.
    """
    removed = {part: np.array(values) for part, values in removal.by_part().items()}
    layer = removed["layer"]
    threshold = float(np.percentile(layer, AUTO_PERCENTILE)) if tau == "auto" else float(tau)
    layer_wise = (layer < threshold) & (threshold > 0)
    values = {kind: np.where(layer_wise, layer, removed[kind]) for kind in KINDS}
    return Prior(values, threshold, np.flatnonzero(layer_wise).tolist())


def prior_weight(prior: float, temperature: float) -> float:
    """Return ``ln(1 + max(prior, 0)) ^ T``: 1 for T = 0."""
    return math.log1p(max(prior, 0.0)) ** temperature if temperature else 1.0


def share_out(prior: float, floor: float, weights: np.ndarray) -> np.ndarray:
    """Share ``max(prior, floor)`` out among the groups of a block in proportion to their weights.

    Args:
        weights: saliency, float64 ``[groups]`` >= 0; all zero: equal shares, since nothing tells them apart.

    Returns:
        float64 ``[groups]`` whose sum is ``max(prior, floor)``.
    """
    total = weights.sum()
    shares = weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
    return shares * max(prior, floor)
