"""The similarity prior: how far each block and each layer turns the residual stream, from one dense pass."""

import torch
from torch import Tensor
from torch.nn import functional

from prunescope.errors import NonFiniteError
from prunescope.importance.removal import BlockImportance
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress


@torch.no_grad()
def distance_sum(before: Tensor, after: Tensor) -> Tensor:
    """Return Σ_t (1 - cos(before_t, after_t)), a float64 scalar on the same device.

    Args:
        before, after: the residual stream at two places, ``[batch, tokens, d]``.
    """
    wide = torch.promote_types(before.dtype, torch.float32)
    return (1 - functional.cosine_similarity(before.to(wide), after.to(wide), dim=-1)).sum(dtype=torch.float64)


@torch.no_grad()
def measure_similarity(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Measure 1 - E_t cos of the residual stream before and after each attention block, MLP block and layer.

    The value of a layer is its block influence (ShortGPT: Men et al. 2024, eq. 1).

    Args:
        windows: int ``[n, tokens]``. batch_size: windows per forward pass; does not change the result.

    Raises:
        NonFiniteError: the residual stream is NaN or infinite.
    """
    device = next(adapter.model.parameters()).device
    count = len(adapter.layers)
    sums = {kind: torch.zeros(count, dtype=torch.float64, device=device) for kind in ("attention", "mlp", "layer")}

    def note(layer: int, before: Tensor, between: Tensor, after: Tensor) -> None:
        sums["attention"][layer] += distance_sum(before, between)
        sums["mlp"][layer] += distance_sum(between, after)
        sums["layer"][layer] += distance_sum(before, after)

    dense_sum = 0.0
    progress = Progress("similarity", total=windows.numel(), unit="tokens")
    parts = batches(windows, batch_size, device)
    with adapter.watching_layers(note):
        for part in parts:
            dense_sum += next_token_losses(adapter.model, part).sum().item()
            progress.advance(part.numel())
    distances = {kind: (values / windows.numel()).cpu() for kind, values in sums.items()}
    for kind, values in distances.items():
        if not values.isfinite().all():
            layer = int((~values.isfinite()).nonzero()[0])
            raise NonFiniteError(
                f"the residual stream is not finite at the {kind} of layer {layer}; try removal.dtype: float32"
            )
    total = sum(predicted_tokens(part) for part in parts)
    return BlockImportance(**distances, dense=dense_sum / total, tokens=windows.numel())
