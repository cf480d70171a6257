"""The surgeon: what removing a group costs once the columns that stay have made up for it.

The loss is taken to be quadratic in what a block adds to the residual stream, with the curvature G = E[g gᵀ] of all
tokens (K-FAC: Martens & Grosse 2015). With H = Σ x xᵀ over N tokens of what the output projection W multiplies, damped,
removing the columns Q while the others change as they like costs (Hassibi & Stork 1993; van der Ouderaa et al. 2024)

    ½ / N · tr(G W_Q [(H⁻¹)_QQ]⁻¹ W_Qᵀ)

A group whose part others can play is cheap, until these go too. So groups leave one after the other, the cheapest
first; those that stay take over, and what they cost is computed anew.
"""

import torch
from torch import Tensor

STEPS = 64
"""Rounds that a block is emptied in; a block with fewer groups loses one in each."""

DAMPING = 0.01
"""Of H, in units of its mean diagonal."""


def surgeon(inputs: Tensor, outputs: Tensor, weight: Tensor, groups: int, tokens: int) -> Tensor:
    """Return what each group of a block costs at the point where it goes, float64 ``[groups]``.

    That no group costs less than those before it keeps the order, also where blocks are compared.

    Args:
        inputs: H, ``[columns, columns]``. outputs: G, ``[d, d]``. weight: W, ``[d, columns]``.
        groups: that share out the columns, the same number of consecutive ones each. tokens: N.
    """
    width = weight.shape[1] // groups
    inverse, weight = _inverse(inputs.double()), _half(outputs.double()) @ weight.double()
    costs, floor = weight.new_zeros(groups), weight.new_zeros(())
    left = torch.arange(groups, device=weight.device)
    at_once = max(1, groups // STEPS)
    while len(left):
        now = _costs(inverse, weight, width) / (2 * tokens)
        order = now.argsort(stable=True)
        going, staying = order[:at_once], order[at_once:].sort().values
        costs[left[going]] = now[going].clamp_min(floor)
        floor = costs[left[going[-1]]]
        if len(staying):
            inverse, weight = _without(inverse, weight, _columns(going, width), _columns(staying, width))
        left = left[staying]
    return costs


def _costs(inverse: Tensor, weight: Tensor, width: int) -> Tensor:
    """Return tr(W_q [(H⁻¹)_qq]⁻¹ W_qᵀ) of each group q alone; `weight`: the half of G times W."""
    groups = weight.shape[1] // width
    own = inverse.view(groups, width, groups, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    parts = weight.view(-1, groups, width).permute(1, 0, 2)
    return (parts @ torch.linalg.inv(own) * parts).sum(dim=(1, 2))


def _without(inverse: Tensor, weight: Tensor, going: Tensor, staying: Tensor) -> tuple[Tensor, Tensor]:
    """Return H⁻¹ and the weight of the columns that stay, which have taken over from those that go."""
    across = inverse[going][:, staying]
    taken = torch.linalg.solve(inverse[going][:, going], across)
    return inverse[staying][:, staying] - across.T @ taken, weight[:, staying] - weight[:, going] @ taken


def _columns(groups: Tensor, width: int) -> Tensor:
    return (groups[:, None] * width + torch.arange(width, device=groups.device)).flatten()


def _inverse(gram: Tensor) -> Tensor:
    damped = gram.clone()
    damped.diagonal().add_((DAMPING * gram.diagonal().mean()).clamp_min(torch.finfo(gram.dtype).eps))
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


def _half(gram: Tensor) -> Tensor:
    """Return A with AᵀA = gram, which may be singular."""
    values, vectors = torch.linalg.eigh(gram)
    return values.clamp_min(0).sqrt()[:, None] * vectors.T
