"""Whether an exported model computes what its checkpoint computes."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prunescope.config.sections import Closeness
from prunescope.errors import ExportError
from prunescope.models.loading import load_model

POSITIONS = 64
"""Positions compared at once, in float64."""


@dataclass(frozen=True)
class Agreement:
    """How close the next-token distributions of an export are to the checkpoint's.

    Attributes:
        top1: share of positions with the same most likely token.
        kl: mean KL divergence of the export from the checkpoint, in nats; NaN if a logit is not finite.
        positions: how many were compared.
    """

    top1: float
    kl: float
    positions: int

    def within(self, limits: Closeness) -> bool:
        """Say whether it is close enough; NaN is not."""
        return self.top1 >= limits.min_agreement and self.kl <= limits.max_kl

    def require(self, what: str, limits: Closeness) -> "Agreement":
        """Return itself, or refuse an export that is not close enough.

        Raises:
            ExportError: with the figures.
        """
        if self.within(limits):
            return self
        raise ExportError(
            f"{what} is refused, it does not compute what the checkpoint computes: the most likely token agrees at "
            f"{self.top1:.1%} of {self.positions} positions (at least {limits.min_agreement:.1%} wanted), mean KL "
            f"{self.kl:.4g} nats (at most {limits.max_kl:g} wanted)"
        )


def compare_logits(reference: Tensor, exported: Tensor) -> Agreement:
    """Compare logits ``[positions, vocabulary]``: KL(reference || exported), in float64.

    Raises:
        ExportError: the shapes differ.
    """
    if reference.shape != exported.shape:
        raise ExportError(f"the export has logits of shape {tuple(exported.shape)}, not {tuple(reference.shape)}")
    if not exported.isfinite().all():
        return Agreement(0.0, math.nan, len(reference))
    same, kl = 0, 0.0
    for ours, theirs in zip(reference.split(POSITIONS), exported.split(POSITIONS), strict=True):
        same += (ours.argmax(-1) == theirs.argmax(-1)).sum().item()
        expected, got = ours.double().log_softmax(-1), theirs.double().log_softmax(-1)
        kl += (expected.exp() * (expected - got)).sum().item()
    return Agreement(same / len(reference), kl / len(reference), len(reference))


@torch.no_grad()
def checkpoint_logits(folder: Path, tokens: list[int]) -> Tensor:
    """Return the logits of a checkpoint in float32, ``[len(tokens), vocabulary]``, on the CPU."""
    model = load_model(folder, "float32")
    return model(torch.tensor([tokens], device=model.device)).logits[0].cpu()
