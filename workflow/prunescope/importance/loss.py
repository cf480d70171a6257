"""The token loss that gradients, removal and perplexity have in common."""

import torch
from torch import Tensor
from torch.nn import functional


def token_loss_sum(logits: Tensor, input_ids: Tensor) -> Tensor:
    """Return the summed next-token cross-entropy, a scalar of at least float32, in nats.

    Args:
        logits: ``[batch, tokens, vocab]``. input_ids: int ``[batch, tokens]``; windows are full, so that
            there is nothing to mask.
    """
    predicted = logits[:, :-1].reshape(-1, logits.shape[-1])
    predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
    return functional.cross_entropy(predicted, input_ids[:, 1:].reshape(-1), reduction="sum")


def predicted_tokens(input_ids: Tensor) -> int:
    """Return how many tokens the loss of a batch is summed over."""
    return input_ids.shape[0] * (input_ids.shape[1] - 1)


def batches(windows: Tensor, batch_size: int, device: torch.device) -> list[Tensor]:
    """Split int windows ``[n, tokens]`` into int64 batches on the device; the last one may be smaller."""
    return [batch.to(device=device, dtype=torch.int64) for batch in windows.split(batch_size)]
