"""A cheap estimate of the removal prior: the first-order change of the loss when the outputs of a block go."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from prunescope.importance.blocks import BlockImportance, check_finite
from prunescope.models.adapter import ModelAdapter
from prunescope.models.facts import KINDS
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress

TOKENS = 2048
"""Tokens that go forward and backward at a time; a 7B model keeps about 5 MB for each."""


def measure_first_order(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Estimate the loss increase of removing each attention block, MLP block and layer from one gradient.

    ΔL ≈ -Σ a·∂L/∂a over what the block adds to the residual stream, a: the Taylor expansion of the loss by a
    factor on a, from 1 to 0, cut after its first term (Molchanov et al. 2019 do so with a gate per channel).
    A layer is its two blocks together. One forward and one backward pass, which takes the gradients of
    activations alone: the weights must be frozen.

    Args:
        windows: int ``[n, tokens]``. batch_size: windows per pass; does not change the result.

    Raises:
        NonFiniteError: an estimate is NaN or infinite; names the layer.
    """
    sums = {kind: torch.zeros(len(adapter.layers), dtype=torch.float64, device=adapter.device) for kind in KINDS}

    def add(kind: str, layer: int, added: Tensor, gradient: Tensor) -> None:
        wide = torch.promote_types(added.dtype, torch.float32)
        sums[kind][layer] -= (added.to(wide) * gradient.to(wide)).sum(dtype=torch.float64)

    def watch(layer: int, before: Tensor, between: Tensor, after: Tensor) -> None:
        # The gradient by the stream behind a block is that by what the block adds to it.
        between.register_hook(partial(add, "attention", layer, (between - before).detach()))
        after.register_hook(partial(add, "mlp", layer, (after - between).detach()))

    progress = Progress("first order", total=windows.numel(), unit="tokens")
    loss_sum = torch.zeros((), dtype=torch.float64, device=adapter.device)
    with torch.enable_grad(), _gradients_from_the_embedding(adapter), adapter.watching_layers(watch):
        for part in batches(windows, batch_size, adapter.device):
            loss = next_token_losses(adapter.model, part).sum()
            loss.backward()
            loss_sum += loss.detach()
            progress.advance(part.numel())
    total = predicted_tokens(windows)
    values = {kind: (total_sum / total).cpu() for kind, total_sum in sums.items()}
    values["layer"] = values["attention"] + values["mlp"]
    check_finite(values, "the estimated loss without the {part} of layer {layer}")
    return BlockImportance(**values, dense=loss_sum.item() / total, tokens=windows.numel())


@contextmanager
def _gradients_from_the_embedding(adapter: ModelAdapter) -> Iterator[None]:
    """Within the block the graph begins at the embedded tokens, since no weight requires a gradient."""
    handle = adapter.model.get_input_embeddings().register_forward_hook(lambda _, __, output: output.requires_grad_())
    try:
        yield
    finally:
        handle.remove()
