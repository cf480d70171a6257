"""Saliency criteria: one short function per term, each reading like its formula.

The saliency of a weight w is a sum of up to three terms: of the weight alone, of the gradient g_b of
each batch (averaged over batches b, so that it can be reduced as the gradient appears and freed), and
of the gradient ḡ of the mean loss over the whole calibration set (which must be accumulated). The
saliency of a group is the sum over its weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


def first_order(weight: Tensor, gradient: Tensor) -> Tensor:
    """|w · g|: first-order change of the loss when w goes (Molchanov et al. 2019, eq. 8, without the square)."""
    return (weight * gradient).abs()


def second_order(weight: Tensor, gradient: Tensor) -> Tensor:
    """½ w² · g²: the diagonal empirical-Fisher term of the Taylor expansion (LLM-Pruner, eq. 6)."""
    return (weight * gradient).square() / 2


def magnitude(weight: Tensor) -> Tensor:
    """|w|."""
    return weight.abs()


@dataclass(frozen=True)
class Criterion:
    """The terms of a criterion; None where it has none."""

    of_weight: Callable[[Tensor], Tensor] | None = None
    of_batch: Callable[[Tensor, Tensor], Tensor] | None = None
    of_mean: Callable[[Tensor, Tensor], Tensor] | None = None


CRITERIA: dict[str, Criterion] = {
    "taylor": Criterion(of_mean=first_order),
    "taylor_2nd": Criterion(of_mean=first_order, of_batch=second_order),
    "taylor_stream": Criterion(of_batch=first_order),
    "magnitude": Criterion(of_weight=magnitude),
}
