"""Damped least squares: an output projection W makes up, with the inputs that it keeps, for those that go.

With X ``[tokens, columns]`` the inputs, K the columns that stay and R those that go, the cut loses D = X_R W_Rᵀ. The
fit of X_K W'ᵀ to the whole X Wᵀ, with H = XᵀX + λ m I and m the mean of diag(XᵀX), is (the reconstruction of SparseGPT,
Frantar & Alistarh 2023, with the same columns for all rows; damped as there)

    W' = W H_{:,K} (H_KK)⁻¹ = W_K + Dᵀ X_K (X_Kᵀ X_K + λ m I)⁻¹

The right side shows that damping shrinks it towards the plain cut, and needs no sums over the columns that go.
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

    Attributes:
        gram: X_Kᵀ X_K, ``[kept, kept]``. cross: X_Kᵀ D, ``[kept, d]``.
        size: ‖X‖². lost: ‖D‖². columns: of X.

    Args:
        weight: W, ``[d, columns]``, on the device of the inputs.
        kept: K, bool ``[columns]``.
    """

    def __init__(self, weight: Tensor, kept: Tensor) -> None:
        self.dtype = torch.promote_types(weight.dtype, torch.float32)
        self.kept, self.gone = kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]
        self.columns = weight.shape[1]
        self.gone_weight = weight[:, self.gone].to(self.dtype)
        zeros = partial(torch.zeros, dtype=torch.float64, device=weight.device)
        self.gram, self.cross = zeros(len(self.kept), len(self.kept)), zeros(len(self.kept), len(weight))
        self.size, self.lost = zeros(()), zeros(())

    def add(self, inputs: Tensor) -> None:
        """Add tokens: ``[..., columns]`` in any dtype."""
        for piece in inputs.flatten(0, -2).split(TOKENS):
            piece = piece.to(self.dtype)
            kept = piece[:, self.kept]
            lost = piece[:, self.gone] @ self.gone_weight.T
            self.gram += kept.T @ kept
            self.cross += kept.T @ lost
            self.size += piece.square().sum(dtype=torch.float64)
            self.lost += lost.square().sum(dtype=torch.float64)

    @property
    def finite(self) -> bool:
        """Whether all that was summed is finite."""
        return bool(torch.stack([self.size, self.lost]).isfinite().all())

    def left(self, change: Tensor) -> float:
        """Return ‖D - X_K changeᵀ‖², what the output still lacks; `change`: of W_K, float64 ``[d, kept]``."""
        products = (change @ self.gram - 2 * self.cross.T).mul_(change).sum()
        return (self.lost + products).clamp_min(0).item()


def solve(sums: Sums, ridge: float) -> tuple[Tensor, float]:
    """Return what is added to W_K, float64 ``[d, kept]``, and the damping λ that it took.

    Where the damped sums are singular all the same, the damping grows until they are not.
    """
    mean = (sums.size / sums.columns).item()
    if not mean:
        return torch.zeros_like(sums.cross.T), ridge
    diagonal = sums.gram.diagonal().clone()
    while True:
        damped = sums.gram.clone()
        damped.diagonal().copy_(diagonal + ridge * mean)
        factor, failed = torch.linalg.cholesky_ex(damped)
        del damped
        if not failed:
            return torch.cholesky_solve(sums.cross, factor).T, ridge
        stronger = max(10 * ridge, LEAST)
        log.info("singular with a damping of %g: %g is taken", ridge, stronger)
        ridge = stronger


@dataclass(frozen=True)
class Fit:
    """A fit as it will be stored, and how it does on held-out tokens.

    Attributes:
        weight: ``[d, kept]`` in the stored dtype; None: the plain cut is no worse than any fit.
        ridge: the damping that it took; None with the plain cut.
        cut_error, error: of the plain cut and of this one: what the output lacks, as a share of ‖X Wᵀ‖².
    """

    weight: Tensor | None
    ridge: float | None
    cut_error: float
    error: float


def best_fit(sums: Sums, held_out: Sums, weight: Tensor, ridges: Iterable[float]) -> Fit:
    """Return the fit with the least error on held-out tokens.

    Args:
        weight: W as it is stored, ``[d, columns]``, whose dtype the fit is rounded to. ridges: dampings to try.
    """
    cut = weight[:, sums.kept]
    exact = cut.double()
    # All of the output is what D lacks when W_K is taken away too.
    whole = held_out.left(-exact) or 1.0
    before = held_out.lost.item() / whole
    best = Fit(None, None, before, before)
    for ridge in ridges:
        change, used = solve(sums, ridge)
        fitted = change.add_(exact).to(cut.dtype)
        error = held_out.left(fitted.double() - exact) / whole
        if error < best.error:
            best = Fit(fitted, used, before, error)
    return best
