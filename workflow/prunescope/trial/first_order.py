"""A cheap stand-in for the removal prior: how the loss begins to change as the outputs of a block go."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress
from prunescope.trial.blocks import PARTS, BlockImportance, check_finite

TOKENS = 2048
"""Tokens that go forward and backward at a time; a 7B model keeps about 7 MB for each."""


def measure_first_order(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Estimate what each attention block, MLP block and layer is worth from one gradient.

    The value is Σ_t |a_t·∂L/∂a_t| / tokens, a_t: what the block adds to the residual stream at token t, L: the summed
    loss, which without it at that token changes by -a_t·∂L/∂a_t to first order (Molchanov et al. 2019, per channel). A
    layer's term is the sum of its blocks', then the magnitude. The plain sum over tokens is useless: a trained model is
    nearly stationary by the scale of a block, so that terms cancel; docs/performance.md compares both with removals.

    One forward and one backward pass, which takes the gradients of activations alone: the weights must be frozen.

    Args:
        windows: int ``[n, tokens]``. batch_size: windows per pass; does not change the result.

    Returns:
        values in nats per token, none negative.

    Raises:
        NonFiniteError: an estimate is NaN or infinite; names the layer.
    """
    sums = {part: torch.zeros(len(adapter.layers), dtype=torch.float64, device=adapter.device) for part in PARTS}

    def watch(layer: int, before: Tensor, between: Tensor, after: Tensor) -> None:
        # The gradient by the stream behind a block is that by what the block adds to it. The MLP's comes first.
        terms: list[Tensor] = []

        def add(part: str, added: Tensor, gradient: Tensor) -> None:
            terms.append(_products(added, gradient).to(adapter.device))
            sums[part][layer] += terms[-1].abs().sum()
            if part == "attention":
                sums["layer"][layer] += sum(terms).abs().sum()

        after.register_hook(partial(add, "mlp", (after - between).detach()))
        between.register_hook(partial(add, "attention", (between - before).detach()))

    progress = Progress("first order", total=windows.numel(), unit="tokens")
    loss_sum = torch.zeros((), dtype=torch.float64, device=adapter.device)
    with torch.enable_grad(), _graph_of_activations(adapter), adapter.watching_layers(watch):
        for part in batches(windows, batch_size, adapter.device):
            loss = next_token_losses(adapter.model, part).sum()
            loss.backward()
            loss_sum += loss.detach()
            progress.advance(part.numel())
    total = predicted_tokens(windows)
    values = {part: (part_sum / total).cpu() for part, part_sum in sums.items()}
    check_finite(values, "the first-order change of the loss by the {part} of layer {layer}")
    return BlockImportance(**values, dense=loss_sum.item() / total, tokens=windows.numel())


def _products(added: Tensor, gradient: Tensor) -> Tensor:
    """Return a_t·∂L/∂a_t of every token, float64 ``[batch, tokens]``."""
    wide = torch.promote_types(added.dtype, torch.float32)
    return (added.to(wide) * gradient.to(wide)).sum(dim=-1, dtype=torch.float64)


@contextmanager
def _graph_of_activations(adapter: ModelAdapter) -> Iterator[None]:
    """Within the block the graph begins at the embedded tokens, since no weight requires a gradient."""
    embedding = adapter.model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda _, __, output: output.requires_grad_())
    try:
        with adapter.checkpointed() if adapter.offloaded else nullcontext():
            yield
    finally:
        handle.remove()
