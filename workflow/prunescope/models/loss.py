"""Next-token loss without the logits of a whole batch: the head runs on a few positions at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Head = Callable[[Tensor], Tensor]
"""Maps hidden states ``[positions, d]`` to logits ``[positions, vocab]``; its weights get no gradient."""

LOGITS = 1 << 23
"""Logits of one product with the head; in float32 32 MiB, and as much again for their gradient."""

IN_CACHE = 1 << 19
"""Logits of which a CPU takes the softmax at a time: it passes over them several times, which its cache makes quick."""


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
    total, _, _ = _ChunkedLosses.apply(hidden, targets, head, None, None, 1.0, 0.0)
    return total


def distillation_losses(
    head: Head, hidden: Tensor, targets: Tensor, dense_head: Head, dense: Tensor, ce: float, kl: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``ce * CE + kl * KL(dense || model)`` of every position, and the two alone, in nats.

    KL is that of the distributions over the whole vocabulary. Differentiable by `hidden` and through the first alone,
    as `token_losses` is.

    Args:
        head, hidden, targets: see `token_losses`.
        dense_head, dense: the head of the unpruned model, and what it reads, ``[batch, tokens, d]``.

    Returns:
        ``[batch, tokens]`` each, at least float32, where the targets are.
    """
    return _ChunkedLosses.apply(hidden, targets, head, dense, dense_head, ce, kl)


class _ChunkedLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        head: Head,
        dense: Tensor | None,
        dense_head: Head | None,
        ce: float,
        kl: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wanted = ctx.needs_input_grad[0]
        losses, gradients = [], []
        flat, wished = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
        above = None if dense is None else dense.reshape(-1, dense.shape[-1])
        for begin, states in _rows(flat, head):
            with torch.set_grad_enabled(wanted):
                states = states.detach().requires_grad_(wanted)
                logits = head(states)
            here = slice(begin, begin + len(states))
            likely = None if above is None or dense_head is None else dense_head(above[here]).to(logits.device)
            found, slopes = _losses(logits.detach(), wished[here].to(logits.device), likely, ce, kl, wanted)
            losses.append(found)
            if wanted:
                gradients.extend(torch.autograd.grad(logits, states, slopes))
        if wanted:
            ctx.save_for_backward(torch.cat(gradients).reshape(hidden.shape))
        entropy, divergence = torch.cat(losses, dim=1).unflatten(1, targets.shape).to(targets.device)
        ctx.mark_non_differentiable(entropy, divergence)
        return ce * entropy + kl * divergence, entropy, divergence

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[..., None].to(gradient), *6 * (None,)


def _rows(hidden: Tensor, head: Head) -> Iterator[tuple[int, Tensor]]:
    """Yield as many rows of ``[rows, ..., d]`` as the head takes at a time, each time with the number of the first."""
    vocabulary = head.out_features if isinstance(head, nn.Linear) else head(hidden[:1]).shape[-1]
    size = max(1, LOGITS // (vocabulary * hidden[0].numel() // hidden.shape[-1]))
    return zip(range(0, len(hidden), size), hidden.split(size), strict=True)


def _losses(
    logits: Tensor, targets: Tensor, dense: Tensor | None, ce: float, kl: float, wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Return cross-entropy and KL(dense || model) of each row of ``[rows, vocab]``, ``[2, rows]``.

    If wanted, return also the gradient of ``ce * CE + kl * KL`` by the logits. Without `dense` KL is 0.
    """
    losses, slopes = [], torch.empty_like(logits) if wanted else None
    for begin, piece in _pieces(logits):
        here = slice(begin, begin + len(piece))
        wished = targets[here, None]
        said = _log_softmax(piece)
        found = torch.stack([-said.gather(1, wished)[:, 0], said.new_zeros(len(piece))])
        if dense is not None:
            likely = _log_softmax(dense[here])
            found[1] = functional.kl_div(said, likely, reduction="none", log_target=True).sum(dim=1)
        losses.append(found)
        if slopes is not None:
            # With p of the model and q of the dense one: ce (p - target) + kl (p - q).
            slope = said.exp_() if dense is None else said.exp_().mul_(ce + kl).sub_(likely.exp_(), alpha=kl)
            slopes[here] = slope.scatter_add_(1, wished, said.new_full((), -ce).expand(wished.shape))
    return torch.cat(losses, dim=1), slopes


def _pieces(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield some rows of ``[rows, ...]`` after others, each with the number of its first; on a GPU all at once."""
    rows = max(1, IN_CACHE // logits[0].numel()) if logits.device.type == "cpu" else len(logits)
    return zip(range(0, len(logits), rows), logits.split(rows), strict=True)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


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
    targets = [*input_ids[1:].tolist(), 0]  # the last position predicts nothing, and is not counted
    together = torch.cat([dense[None], hidden]).transpose(0, 1)
    found = torch.zeros(2, tokens, streams, dtype=torch.float64, device=hidden.device)
    for begin, states in _rows(together, head):
        logits = head(states.reshape(-1, width)).unflatten(0, states.shape[:2]).to(hidden.device)
        for position, row in enumerate(logits, begin):
            wanted = _log_softmax(row[0])
            chances = wanted.exp()
            for first, piece in _pieces(row[1:]):
                said, here = _log_softmax(piece), slice(first, first + len(piece))
                found[0, position, here] = -said[:, targets[position]].double()
                found[1, position, here] = (wanted - said).mv(chances).double()
    return found[0, :-1].sum(dim=0), found[1].sum(dim=0)


def predicted_tokens(input_ids: Tensor) -> int:
    """Return how many tokens the loss of a batch is summed over."""
    return input_ids.shape[0] * (input_ids.shape[1] - 1)


def batches(windows: Tensor, batch_size: int, device: torch.device) -> list[Tensor]:
    """Split int windows ``[n, tokens]`` into int64 batches on the device; the last one may be smaller."""
    return [batch.to(device=device, dtype=torch.int64) for batch in windows.split(batch_size)]
