"""The removal prior: how much the loss rises when a block contributes nothing.

One dense pass keeps the residual stream at each layer; removing a block of layer l restarts there, so
that nothing below l is computed again: about half the work of a full pass per removal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.errors import NonFiniteError
from prunescope.models.adapter import ModelAdapter
from prunescope.models.facts import KINDS
from prunescope.models.loss import batches, next_token_losses, predicted_tokens, token_losses
from prunescope.progress import Progress


@dataclass(frozen=True)
class BlockImportance:
    """What blocks are worth, by layer: a prior; a block that is not there has 0.

    Attributes:
        attention, mlp, layer: float64 ``[layers]``, of the attention block, the MLP block, both together:
            the loss increase without it in nats per token (removal), or 1 - cos of the residual stream
            before and after it (similarity).
        dense: mean token loss of the whole model.
        tokens: tokens that each value rests on.
    """

    attention: Tensor
    mlp: Tensor
    layer: Tensor
    dense: float
    tokens: int

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return ``{"attention": {layer: value}, "mlp": ..., "layer": ...}``."""
        return {
            kind: {str(layer): value for layer, value in enumerate(getattr(self, kind).tolist())}
            for kind in ("attention", "mlp", "layer")
        }


@torch.no_grad()
def measure_removal(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Measure the loss increase of removing each attention block, MLP block and layer.

    A removed block adds zero to the residual stream (returning its normalised input instead would add
    that to the residual).

    Args:
        windows: int ``[n, tokens]``. batch_size: windows per forward pass; does not change the result.

    Raises:
        NonFiniteError: a loss is NaN or infinite.
    """
    device = next(adapter.model.parameters()).device
    count = len(adapter.layers)
    sums = {kind: torch.zeros(count, dtype=torch.float64) for kind in (*KINDS, "layer")}
    dense_sum, total = 0.0, 0
    parts = batches(windows, batch_size, device)
    progress = Progress("removal", total=len(parts) * 3 * count, unit="removals")
    for part in parts:
        stream = _Stream(adapter, part)
        dense_sum += stream.dense_loss
        total += predicted_tokens(part)
        for layer in range(count):
            for kind in KINDS:
                sums[kind][layer] += stream.loss_without(layer, kind)
            sums["layer"][layer] += stream.loss_from(layer + 1, stream.inputs[layer])
            progress.advance(3)
    rises = {kind: (values - dense_sum) / total for kind, values in sums.items()}
    _check_finite(rises)
    return BlockImportance(**rises, dense=dense_sum / total, tokens=windows.numel())


class _Stream:
    """The residual stream of one batch at every layer, and losses that restart from it."""

    def __init__(self, adapter: ModelAdapter, input_ids: Tensor) -> None:
        self.adapter, self.input_ids = adapter, input_ids
        with adapter.recording_inputs() as calls:
            self.dense_loss = next_token_losses(adapter.model, input_ids).sum().item()
        self.inputs = [hidden for hidden, _ in calls]
        self.arguments = [arguments for _, arguments in calls]

    def loss_without(self, layer: int, kind: str) -> float:
        """Return the summed loss when a block of `layer` adds zero."""
        if self.adapter.module(layer, kind) is None:
            return self.dense_loss
        with self.adapter.silenced(layer, kind):
            return self.loss_from(layer, self.inputs[layer])

    def loss_from(self, layer: int, hidden: Tensor) -> float:
        """Return the summed loss when `layer` and those above it run on `hidden`."""
        for index in range(layer, len(self.adapter.layers)):
            output = self.adapter.layers[index](hidden, **self.arguments[index])
            hidden = output[0] if isinstance(output, tuple) else output
        return token_losses(self.adapter.logits, hidden[:, :-1], self.input_ids[:, 1:]).sum().item()


def _check_finite(rises: dict[str, Tensor]) -> None:
    for kind, values in rises.items():
        if not torch.isfinite(values).all():
            layer = int((~torch.isfinite(values)).nonzero()[0])
            raise NonFiniteError(
                f"the loss without the {kind} of layer {layer} is not finite; try removal.dtype: float32"
            )
