"""Damped least squares: what an output projection keeps makes up for what the residual stream lacks.

With X_K ``[tokens, kept]`` the inputs that stay, and E ``[tokens, d]`` what the stream lacks after the plain cut, each
token weighted by p, what is added to the kept columns W_K is

    Δ = Eᵀ P X_K (X_Kᵀ P X_K + λ m I)⁻¹,   m the mean of diag(X_Kᵀ P X_K)

Damping shrinks it towards the plain cut. Where E is what the block itself loses, this is the reconstruction of
SparseGPT (Frantar & Alistarh 2023; the same columns for all rows, damped as there).
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

log = logging.getLogger(__name__)

TOKENS = 2048
"""Tokens of one product, in float32 at least; products are added up in float64."""

LEAST = 1e-10
"""Damping where none was asked for and the sums are singular."""


class Sums:
    """What a fit needs of some tokens, summed over them in float64.

    A token weighs 1 / ‖its stream‖²: what it lacks counts as a share of it, as the norm of the next block sees it. So
    the few tokens whose stream is hundreds of times longer (Sun et al. 2024, massive activations) do not decide alone.

    Attributes:
        gram: X_Kᵀ P X_K, ``[kept, kept]``. cross: X_Kᵀ P E, ``[kept, d]``. lost: Σ p ‖E‖². tokens: how many.

    Args:
        kept, width: the columns of X_K and E. dtype: of the products.
    """

    def __init__(self, kept: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = torch.promote_types(dtype, torch.float32)
        zeros = partial(torch.zeros, dtype=torch.float64, device=device)
        self.gram, self.cross, self.lost = zeros(kept, kept), zeros(kept, width), zeros(())
        self.tokens = 0

    def add(self, inputs: Tensor, lacking: Tensor, stream: Tensor) -> None:
        """Add tokens.

        Args:
            inputs: X_K, ``[..., kept]``. lacking: E, ``[..., width]``. stream: what it lacks that of, ``[..., width]``.
        """
        parts = (each.flatten(0, -2).split(TOKENS) for each in (inputs, lacking, stream))
        for x, e, whole in zip(*parts, strict=True):
            length = torch.linalg.vector_norm(whole, dim=1, keepdim=True, dtype=self.dtype)
            length.clamp_min_(torch.finfo(self.dtype).tiny ** 0.5)
            x, e = x.to(self.dtype) / length, e.to(self.dtype) / length
            self.gram += x.T @ x
            self.cross += x.T @ e
            self.lost += e.square().sum(dtype=torch.float64)
            self.tokens += len(x)

    @property
    def finite(self) -> bool:
        """Whether all that was summed is finite."""
        return bool(torch.stack([self.gram.diagonal().sum(), self.lost]).isfinite().all())

    def left(self, change: Tensor) -> float:
        """Return Σ p ‖E - X_K changeᵀ‖², what the stream still lacks; `change`: of W_K, float64 ``[width, kept]``."""
        products = (change @ self.gram - 2 * self.cross.T).mul_(change).sum()
        return (self.lost + products).clamp_min(0).item()


def solve(gram: Tensor, cross: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Return (G + λ m I)⁻¹ C, float64 ``[kept, columns]``, and the damping λ that it took.

    Where the damped sums are singular all the same, the damping grows until they are not.

    Args:
        gram: G, float64 ``[kept, kept]``; m is the mean of its diagonal. cross: C, float64 ``[kept, columns]``.
    """
    diagonal = gram.diagonal().clone()
    mean = diagonal.mean().item()
    if not mean:
        return torch.zeros_like(cross), ridge
    while True:
        damped = gram.clone()
        damped.diagonal().copy_(diagonal + ridge * mean)
        factor, failed = torch.linalg.cholesky_ex(damped)
        del damped
        if not failed:
            return torch.cholesky_solve(cross, factor), ridge
        stronger = max(10 * ridge, LEAST)
        log.info("singular with a damping of %g: %g is taken", ridge, stronger)
        ridge = stronger


@dataclass(frozen=True)
class Fit:
    """A fit as it will be stored, and how it does on held-out tokens.

    Attributes:
        weight: ``[width, kept]`` in the stored dtype; None: the plain cut is no worse than any fit.
        ridge: the damping that it took; None with the plain cut.
        cut_error, error: of the plain cut and of this one: what the stream lacks, ‖E‖² / ‖stream‖², mean over tokens.
    """

    weight: Tensor | None
    ridge: float | None
    cut_error: float
    error: float


def best_fit(sums: Sums, held_out: Sums, cut: Tensor, ridges: Iterable[float]) -> Fit:
    """Return the fit with the least error on held-out tokens.

    Args:
        cut: W_K as it is stored, ``[width, kept]``, whose dtype the fit is rounded to. ridges: dampings to try.
    """
    exact = cut.double()
    before = held_out.lost.item() / held_out.tokens
    best = Fit(None, None, before, before)
    for ridge in ridges:
        change, used = solve(sums.gram, sums.cross, ridge)
        fitted = change.T.add_(exact).to(cut.dtype)
        error = held_out.left(fitted.double() - exact) / held_out.tokens
        if error < best.error:
            best = Fit(fitted, used, before, error)
    return best
