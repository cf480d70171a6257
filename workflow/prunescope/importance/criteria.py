"""Saliency criteria: one short function per term, each reading like its formula.

The saliency of a group is a sum of terms. Most are per weight w and summed over the group's weights: of the weight
alone, of the input x that it multiplies, of w · g_b with the gradient of each batch b (averaged, so that a gradient is
reduced as it appears and freed), and of w · ḡ with that of the mean loss over all windows (which must be accumulated).

What else is known about a criterion is in its row of `prunescope/criteria.py`. Only a new kind of evidence needs a
collector of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


def first_order(change: Tensor) -> Tensor:
    """|w · g|: first-order change of the loss when w goes (Molchanov et al. 2019, eq. 8, without the square)."""
    return change.abs()


def second_order(change: Tensor) -> Tensor:
    """½ w² · g²: the diagonal empirical-Fisher term of the Taylor expansion (LLM-Pruner, eq. 6)."""
    return change.square() / 2


def magnitude(weight: Tensor) -> Tensor:
    """|w|."""
    return weight.abs()


def weighted_input(weight: Tensor, input_norm: Tensor) -> Tensor:
    """|w| · ‖x‖₂ (Wanda: Sun et al. 2024, eq. 1), x: the feature that w multiplies, at all calibration tokens."""
    return weight.abs() * input_norm


def squared_gate(derivative: Tensor) -> Tensor:
    """(∂L_s/∂m)²: diagonal empirical Fisher of the gate m = 1 of a group (Kwon et al. 2022, mask variables)."""
    return derivative.square()


def block_influence(influence: Tensor, cost: int) -> Tensor:
    """BI of the layer (ShortGPT: Men et al. 2024, eq. 1) times the group's cost: per parameter equal in a layer."""
    return influence * cost


@dataclass(frozen=True)
class Terms:
    """The terms of a criterion; None where it has none.

    Attributes:
        of_weight: of w. of_input: of w and ‖x‖₂, which broadcasts over its rows. of_batch: of w · g_b,
            averaged over batches by their tokens. of_mean: of w · ḡ. All per weight.
        of_gate: per group, of the derivative of the loss of each sample s by the group's gate ∂L_s/∂m,
            averaged over samples.
        of_layer: per group, of the influence of its layer (a scalar) and its cost in parameters.
    """

    of_weight: Callable[[Tensor], Tensor] | None = None
    of_input: Callable[[Tensor, Tensor], Tensor] | None = None
    of_batch: Callable[[Tensor], Tensor] | None = None
    of_mean: Callable[[Tensor], Tensor] | None = None
    of_gate: Callable[[Tensor], Tensor] | None = None
    of_layer: Callable[[Tensor, int], Tensor] | None = None


FORMULAS: dict[str, Terms] = {
    "taylor": Terms(of_mean=first_order),
    "taylor_2nd": Terms(of_mean=first_order, of_batch=second_order),
    "taylor_stream": Terms(of_batch=first_order),
    "gate": Terms(of_gate=squared_gate),
    "wanda": Terms(of_input=weighted_input),
    "magnitude": Terms(of_weight=magnitude),
    "shortgpt": Terms(of_layer=block_influence),
}
