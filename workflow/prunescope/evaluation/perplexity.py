"""Perplexity by a protocol: which tokens are scored, in which context, and how sure the figure is."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.artifacts.perplexity import Perplexity
from prunescope.config.protocols import Protocol
from prunescope.data.calibration import tokens_sha256
from prunescope.errors import NonFiniteError
from prunescope.evaluation.bootstrap import exponential, interval
from prunescope.models.loading import forward_batch
from prunescope.models.loss import token_losses
from prunescope.models.sweep import final_states
from prunescope.progress import Progress


@dataclass(frozen=True)
class WindowLosses:
    """Losses summed over stretches of a window's length, float64 ``[windows]`` in nats, and tokens scored, int64."""

    sums: np.ndarray
    tokens: np.ndarray

    @property
    def mean(self) -> float:
        """Mean token loss."""
        return float(self.sums.sum() / self.tokens.sum())


def summarise(dtype: str, spans: Tensor, protocol: Protocol, losses: WindowLosses) -> Perplexity:
    """Return the perplexity that losses on the spans, computed in `dtype`, amount to."""
    return Perplexity(
        perplexity=exponential(losses.mean),
        interval=interval(losses.sums, losses.tokens),
        loss=losses.mean,
        tokens=int(losses.tokens.sum()),
        windows=len(losses.sums),
        window=protocol.window,
        stride=protocol.stride,
        sha256=tokens_sha256(spans.numpy()),
        bos=False,
        dtype=dtype,
    )


def measure_losses(
    model: nn.Module, spans: Tensor, protocol: Protocol, progress: Progress | None = None
) -> WindowLosses:
    """Score every token of the spans but their first, once (no BOS; nothing is carried over between spans).

    The first window of a span scores all its tokens but the first, each later one its last `stride` tokens, with
    ``window - stride`` to ``window - 1`` tokens of context.

    Args:
        spans: int ``[n, length]``; the length is the window or, with a stride, that plus a multiple of the stride.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    window, stride = protocol.window, protocol.stride
    parts = [_last_losses(model, spans[:, :window], window - 1, progress)]
    if stride and spans.shape[1] > window:
        later = spans.unfold(1, window, stride)[:, 1:].reshape(-1, window)
        parts.append(_last_losses(model, later, stride, progress).reshape(len(spans), -1))
    sums = np.add.reduceat(np.concatenate(parts, axis=1), _starts(spans.shape[1] - 1, window), axis=1)
    losses = WindowLosses(sums.reshape(-1), scored_tokens(spans, protocol))
    if not math.isfinite(mean := losses.mean):
        raise NonFiniteError(f"the loss over windows of {window} tokens is {mean}; try evaluation.dtype: float32")
    return losses


def measure_rows(
    model: nn.Module, spans: Tensor, protocol: Protocol, rows: slice, progress: Progress | None = None
) -> np.ndarray:
    """Return the losses of `measure_losses` for some of the spans, and 0 for the others: float64 ``[windows]``."""
    tokens = scored_tokens(spans, protocol)
    sums, stretches = np.zeros(len(tokens)), len(tokens) // len(spans)
    if rows.start < rows.stop:
        found = measure_losses(model, spans[rows], protocol, progress)
        sums[rows.start * stretches : rows.stop * stretches] = found.sums
    return sums


def scored_tokens(spans: Tensor, protocol: Protocol) -> np.ndarray:
    """Return how many tokens are scored in each stretch of a window's length, int64 ``[windows]``."""
    scored = spans.shape[1] - 1
    return np.tile(np.diff(_starts(scored, protocol.window), append=scored), len(spans))


def tokens_read(spans: Tensor, protocol: Protocol) -> int:
    """Return how many tokens go through the model, those read again for context included."""
    advances = (spans.shape[1] - protocol.window) // protocol.stride if protocol.stride else 0
    return len(spans) * (1 + advances) * protocol.window


@torch.no_grad()
def _last_losses(model: nn.Module, windows: Tensor, count: int, progress: Progress | None) -> np.ndarray:
    """Return the losses of the last `count` tokens of each window, float64 ``[windows, count]``."""
    losses = []
    for part, hidden in final_states(model, windows, forward_batch(windows, model)):
        scored = token_losses(model.get_output_embeddings(), hidden[:, -count - 1 : -1], part[:, -count:])
        losses.append(scored.double().cpu().numpy())
        if progress:
            progress.advance(part.numel())
    return np.concatenate(losses)


def _starts(scored: int, window: int) -> np.ndarray:
    """Return where each stretch of `window` positions begins among the scored ones; the first of a span has no loss."""
    return np.concatenate([[0], np.arange(window - 1, scored, window)])
