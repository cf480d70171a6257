"""What blocks are worth as wholes: the values of a prior, by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.artifacts.facts import KINDS
from prunescope.errors import NonFiniteError

PARTS = (*KINDS, "layer")
"""What can be removed: the attention block, the MLP block, both together."""

Sums = dict[str, Tensor]
"""What a prior follows from, float64 by name: sums over windows, so that those of several sets of windows add up."""


@dataclass(frozen=True)
class BlockImportance:
    """What blocks are worth, by layer: a prior; a block that is not there has 0.

    Attributes:
        attention, mlp, layer: float64 ``[layers]``, of the attention block, the MLP block, both together:
            the loss increase without it in nats per token (removal), or 1 - cos of the residual stream
            before and after it (similarity).
        dense: mean token loss of the whole model.
        tokens: tokens that each value rests on.
    """

    attention: Tensor
    mlp: Tensor
    layer: Tensor
    dense: float
    tokens: int

    def by_part(self) -> dict[str, list[float]]:
        """Return ``attention``, ``mlp`` and ``layer``, each in the order of the layers."""
        return {part: getattr(self, part).tolist() for part in PARTS}


def check_finite(values: dict[str, Tensor], subject: str) -> None:
    """Raise `NonFiniteError` that names the lowest layer with a value that is NaN or infinite.

    Args:
        values: part -> ``[layers]``. subject: what is not finite, with ``{part}`` and ``{layer}`` to fill in.
    """
    bad = (~torch.isfinite(torch.stack([values[part] for part in PARTS], dim=1))).nonzero().tolist()
    if bad:
        layer, part = bad[0]
        raise NonFiniteError(
            f"{subject.format(part=PARTS[part], layer=layer)} is not finite; try removal.dtype: float32"
        )
