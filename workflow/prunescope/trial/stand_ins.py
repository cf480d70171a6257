"""What an output projection reads where groups are silent: nothing of them or, refitted, what the others play for them.

With H = XᵀPX of all inputs X of the projection on the dense stream, what stays plays what is gone by damped least
squares: X_R becomes X_K B, B = (H_KK + λ m I)⁻¹ H_KR, m the mean of diag(H_KK). The weights that would do the same are
W'_K = W_K + W_R Bᵀ: the refit of this block to what it loses itself. It knows nothing of what the blocks below have
lost, for which the refit itself makes up too, and needs no pass over the model of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.artifacts.facts import BlockKind
from prunescope.pruning.least_squares import solve

ReadGram = Callable[[int, BlockKind], Tensor]
"""Returns H of the output projection of a block, ``[inputs, inputs]``."""

Groups = tuple[int, ...]


@dataclass(frozen=True)
class StandIn:
    """What plays silent inputs.

    Attributes:
        kept, silent: int64, the inputs that stay, and those that do not. weights: B, ``[kept, silent]``.
    """

    kept: Tensor
    silent: Tensor
    weights: Tensor


class StandIns:
    """Those of one layer at a time, each computed when it is first asked for.

    Args:
        read: see `ReadGram`. ridge: λ.
    """

    def __init__(self, read: ReadGram, ridge: float) -> None:
        self.read, self.ridge = read, ridge
        self.layer = -1
        self.grams: dict[BlockKind, Tensor] = {}
        self.known: dict[tuple[BlockKind, Groups], StandIn] = {}

    def find(self, layer: int, kind: BlockKind, speaking: Tensor, silent: Groups, dtype: torch.dtype) -> StandIn:
        """Return what plays the silent groups of a block.

        Args:
            speaking: bool ``[groups]``, on the device to compute on. silent: the others. dtype: of the weights.
        """
        if layer != self.layer:
            self.grams.clear()
            self.known.clear()
            self.layer = layer
        if kind not in self.grams:
            self.grams[kind] = self.read(layer, kind).to(speaking.device)
        if (kind, silent) not in self.known:
            self.known[kind, silent] = self._fit(self.grams[kind], speaking, dtype)
        return self.known[kind, silent]

    def _fit(self, gram: Tensor, speaking: Tensor, dtype: torch.dtype) -> StandIn:
        stays = speaking.repeat_interleave(len(gram) // len(speaking))
        kept, silent = stays.nonzero().flatten(), (~stays).nonzero().flatten()
        rows = gram[kept]
        weights, _ = solve(rows[:, kept].double(), rows[:, silent].double(), self.ridge)
        return StandIn(kept, silent, weights.to(dtype))


@dataclass(frozen=True)
class Heard:
    """Reads the inputs of an output projection, row by row.

    Attributes:
        speaking: bool ``[rows, groups]``, False for groups that are silent.
        played: rows, and what plays their silent inputs; of none where the cut is plain.
    """

    speaking: Tensor
    played: Sequence[tuple[slice, StandIn]] = ()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return what is read of ``[rows, tokens, inputs]``."""
        mask = self.speaking.repeat_interleave(inputs.shape[-1] // self.speaking.shape[1], dim=1)
        heard = inputs * mask[:, None, :].to(inputs)
        for rows, one in self.played:
            kept, silent = one.kept.to(inputs.device), one.silent.to(inputs.device)
            heard[rows, :, silent] = inputs[rows][..., kept] @ one.weights.to(inputs)
        return heard
