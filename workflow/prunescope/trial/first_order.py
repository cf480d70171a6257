"""A cheap stand-in for the removal prior: how the loss begins to change as the outputs of a block go."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, next_token_losses, predicted_tokens, token_losses
from prunescope.models.sweep import Streams, Sweep, rows_of
from prunescope.progress import Progress
from prunescope.trial.blocks import PARTS, BlockImportance, Sums, check_finite

Watch = Callable[[int, Tensor, Tensor, Tensor], None]
"""Is shown a layer and the stream before it, between its blocks and after it, of some windows, in a graph."""

TOKENS = 2048
"""Tokens that go forward and backward at a time; a 7B model keeps about 7 MB for each."""


def measure_first_order(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Estimate what each attention block, MLP block and layer is worth from one gradient.

    The value is Σ_t |a_t·∂L/∂a_t| / tokens, a_t: what the block adds to the residual stream at token t, L: the summed
    loss, which without it at that token changes by -a_t·∂L/∂a_t to first order (Molchanov et al. 2019, per channel). A
    layer's term is the sum of its blocks', then the magnitude. The plain sum over tokens is useless: a trained model is
    nearly stationary by the scale of a block, so that terms cancel; docs/performance.md compares both with removals.

    One forward and one backward pass, which takes the gradients of activations alone: the weights must be frozen.
    Where layers are read as they run, all windows go through one before the next is read, in either direction.

    Args:
        windows: int ``[n, tokens]``. batch_size: windows per pass; does not change the result.

    Returns:
        values in nats per token, none negative.

    Raises:
        NonFiniteError: an estimate is NaN or infinite; names the layer.
    """
    return loss_changes(first_order_sums(adapter, windows, batch_size))


def loss_changes(sums: Sums) -> BlockImportance:
    """Return the estimates, from the sums of `first_order_sums`.

    Raises:
        NonFiniteError: one is NaN or infinite; names the layer.
    """
    values = {part: sums[part] / sums["predicted"] for part in PARTS}
    check_finite(values, "the first-order change of the loss by the {part} of layer {layer}")
    return BlockImportance(**values, dense=(sums["loss"] / sums["predicted"]).item(), tokens=int(sums["tokens"]))


def first_order_sums(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> Sums:
    """Return the sums over all tokens by part, ``[layers]``, the summed loss, and how many tokens there are."""
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

    way = _layer_by_layer if adapter.offloaded else _whole
    loss_sum = way(adapter, batches(windows, batch_size, adapter.device), watch)
    scalars = {"loss": loss_sum, "predicted": predicted_tokens(windows), "tokens": windows.numel()}
    counted = {name: torch.tensor(value, dtype=torch.float64) for name, value in scalars.items()}
    return {part: values.cpu() for part, values in sums.items()} | counted


def _products(added: Tensor, gradient: Tensor) -> Tensor:
    """Return a_t·∂L/∂a_t of every token, float64 ``[batch, tokens]``."""
    wide = torch.promote_types(added.dtype, torch.float32)
    return (added.to(wide) * gradient.to(wide)).sum(dim=-1, dtype=torch.float64)


def _whole(adapter: ModelAdapter, parts: Sequence[Tensor], watch: Watch) -> float:
    """Take batch after batch up and down the whole model; return the summed loss."""
    progress = Progress("first order", total=sum(map(torch.numel, parts)), unit="tokens")
    loss_sum = torch.zeros((), dtype=torch.float64, device=adapter.device)
    with torch.enable_grad(), _graph_of_activations(adapter), adapter.watching_layers(watch):
        for part in parts:
            loss = next_token_losses(adapter.model, part).sum()
            loss.backward()
            loss_sum += loss.detach()
            progress.advance(part.numel())
    return loss_sum.item()


def _layer_by_layer(adapter: ModelAdapter, parts: Sequence[Tensor], watch: Watch) -> float:
    """Take all batches up layer by layer, and down again, where each layer runs a second time; as `_whole`."""
    rows, top, loss_sum = rows_of(parts), len(adapter.layers), 0.0
    sweep, streams = Sweep(adapter, parts[0][:1]), Streams(adapter, top + 1, rows[-1].stop, parts[0].shape[1])
    progress = Progress("first order", total=top * rows[-1].stop, unit="windows of a layer")
    with torch.no_grad():
        for part, place in zip(parts, rows, strict=True):
            streams.write(0, place, adapter.embed(part))
        for layer in range(top):
            for place in rows:
                streams.write(layer + 1, place, sweep.run(layer, streams.read(layer, place)))
    with torch.enable_grad():
        for part, place in zip(parts, rows, strict=True):
            hidden = streams.read(top, place).requires_grad_()
            loss = token_losses(adapter.model.get_output_embeddings(), adapter.normed(hidden)[:, :-1], part[:, 1:])
            loss.sum().backward()
            loss_sum += loss.sum(dtype=torch.float64).item()
            streams.write(top, place, hidden.grad)
        with adapter.watching_layers(watch):
            for layer in reversed(range(top)):
                for part, place in zip(parts, rows, strict=True):
                    hidden = streams.read(layer, place).requires_grad_()
                    sweep.run(layer, hidden).backward(streams.read(layer + 1, place))
                    streams.write(layer, place, hidden.grad)
                    progress.advance(len(part))
    return loss_sum


@contextmanager
def _graph_of_activations(adapter: ModelAdapter) -> Iterator[None]:
    """Within the block the graph begins at the embedded tokens, since no weight requires a gradient."""
    embedding = adapter.model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda _, __, output: output.requires_grad_())
    try:
        yield
    finally:
        handle.remove()
