"""Next-token loss without the logits of a whole batch: the head runs on a few positions at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Head = Callable[[Tensor], Tensor]
"""Maps hidden states ``[positions, d]`` to logits ``[positions, vocab]``; its weights get no gradient."""

LOGITS = 1 << 24
"""Logits that exist at a time; in float32 64 MiB, and as much again for their softmax."""


def next_token_losses(model: nn.Module, input_ids: Tensor) -> Tensor:
    """Return the cross-entropy of every token but the first given those before it.

    Args:
        model: a causal language model of transformers. input_ids: int64 ``[batch, tokens]``; windows are
            full, so that there is nothing to mask.

    Returns:
        nats, ``[batch, tokens - 1]``, at least float32.
    """
    hidden = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    return token_losses(model.get_output_embeddings(), hidden[:, :-1], input_ids[:, 1:])


def token_losses(head: Head, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of `targets` by the logits of `head`, in nats, of the shape of `targets`.

    Differentiable by `hidden` alone: its gradient is taken at once, chunk by chunk, as long as the logits
    are there, which costs no second run of the head.

    Args:
        hidden: ``[batch, tokens, d]``. targets: int64 ``[batch, tokens]``. Of a model over several GPUs both may be
            elsewhere than the head.

    Returns:
        ``[batch, tokens]``, at least float32, where the targets are.
    """
    return _ChunkedLosses.apply(hidden, targets, head)


class _ChunkedLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        losses, gradients = [], []
        flat = hidden.reshape(-1, hidden.shape[-1])
        for states, wished in _chunks(flat, targets.reshape(-1), head):
            with torch.set_grad_enabled(wanted):
                states = states.detach().requires_grad_(wanted)
                found = _losses(head(states), wished)
                losses.append(found.detach())
                if wanted:
                    gradients.extend(torch.autograd.grad(found.sum(), states))
        if wanted:
            ctx.save_for_backward(torch.cat(gradients).reshape(hidden.shape))
        return torch.cat(losses).reshape(targets.shape).to(targets.device)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[..., None].to(gradient), None, None


def _chunks(hidden: Tensor, targets: Tensor, head: Head) -> Iterator[tuple[Tensor, Tensor]]:
    vocabulary = head.out_features if isinstance(head, nn.Linear) else head(hidden[:1]).shape[-1]
    size = max(1, LOGITS // vocabulary)
    return zip(hidden.split(size), targets.split(size), strict=True)


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return functional.cross_entropy(wide, targets.to(wide.device), reduction="none")


@torch.no_grad()
def losses_and_divergences(head: Head, hidden: Tensor, dense: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return what several streams of one window lose, and how far their predictions are from the dense model's.

    The logits of a position are computed for all streams in one product.

    Args:
        hidden: what the head reads, ``[streams, tokens, d]``. dense: of the dense model, ``[tokens, d]``.
        input_ids: int64 ``[tokens]``.

    Returns:
        float64 ``[streams]`` each: cross-entropy summed over the predicted tokens, and KL(dense || stream) summed over
        all positions, in nats.
    """
    streams, tokens, width = hidden.shape
    targets = torch.cat([input_ids[1:], input_ids[:1]])  # the last position predicts nothing, and is not counted
    together = torch.cat([dense[None], hidden]).transpose(0, 1)
    losses, divergences = (torch.zeros(streams, dtype=torch.float64, device=hidden.device) for _ in range(2))
    counted = torch.arange(tokens, device=hidden.device) < tokens - 1
    vocabulary = head.out_features if isinstance(head, nn.Linear) else head(dense[:1]).shape[-1]
    size = max(1, LOGITS // vocabulary // (streams + 1))
    for states, wished, count in zip(together.split(size), targets.split(size), counted.split(size), strict=True):
        logits = head(states.reshape(-1, width)).unflatten(0, states.shape[:2]).to(hidden.device)
        said = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        wanted, others = said[:, :1], said[:, 1:]
        chosen = others.gather(2, wished[:, None, None].expand(-1, streams, 1))[..., 0]
        losses -= (chosen * count[:, None]).sum(dim=0, dtype=torch.float64)
        divergences += (wanted.exp() * (wanted - others)).sum(dim=(0, 2), dtype=torch.float64)
    return losses, divergences


def predicted_tokens(input_ids: Tensor) -> int:
    """Return how many tokens the loss of a batch is summed over."""
    return input_ids.shape[0] * (input_ids.shape[1] - 1)


def batches(windows: Tensor, batch_size: int, device: torch.device) -> list[Tensor]:
    """Split int windows ``[n, tokens]`` into int64 batches on the device; the last one may be smaller."""
    return [batch.to(device=device, dtype=torch.int64) for batch in windows.split(batch_size)]
