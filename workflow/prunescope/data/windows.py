"""Evaluation spans: spread over the whole split, since perplexity differs two-fold between articles."""

import numpy as np

from prunescope.config.protocols import Protocol
from prunescope.errors import ConfigError, DataError

WINDOWS_PER_SPAN = 4
"""Of a strided protocol: longer spans have fewer tokens in first windows, more spans cover a split better."""


def cut_spans(tokens: np.ndarray, protocol: Protocol, max_tokens: int) -> np.ndarray:
    """Cut what a protocol evaluates from the tokens of a split.

    A span is a stretch of running text that is scored on its own. Under independent windows it is one window.
    Under a strided protocol it is about four windows long, or the whole split when `max_tokens` allows that, which
    is the protocol of published figures; its length is the window plus a multiple of the stride.

    Args:
        tokens: ``[T]`` token ids.
        max_tokens: at most this many tokens are used.

    Returns:
        int32 ``[n, length]``, in the order of the text, spread evenly from its first token to its last.

    Raises:
        DataError: not one window fits.
    """
    window, stride = protocol.window, protocol.stride
    budget = min(max_tokens, len(tokens))
    if budget < window:
        raise DataError(
            f"a window of {window} tokens does not fit into {len(tokens)} tokens of test text "
            f"with max_tokens {max_tokens}: shorten evaluation.protocols, raise evaluation.max_tokens "
            "or give more text"
        )
    if not stride:
        return spread_windows(tokens, window, budget)
    spans = 1 if budget == len(tokens) else max(1, budget // (WINDOWS_PER_SPAN * window))
    return spread_windows(tokens, window + (budget // spans - window) // stride * stride, budget)


def spread_windows(tokens: np.ndarray, length: int, budget: int) -> np.ndarray:
    """Cut non-overlapping windows from a stream of tokens, the first at its start, the last at its end.

    Args:
        tokens: ``[T]`` token ids.
        length: tokens per window.
        budget: at most this many tokens are used; at least `length`.

    Returns:
        int32 ``[n, length]`` with ``n = budget // length``.
    """
    count = budget // length
    # Rounding down cannot bring two starts closer than `length`: their exact distance is at least that.
    starts = np.arange(count) * (len(tokens) - length) // max(count - 1, 1)
    return tokens[starts[:, None] + np.arange(length)].astype(np.int32)


def check_window(path: str, length: int, context: int | None) -> None:
    """Raise `ConfigError` when the window at a config path is longer than the model takes (None: unknown)."""
    if context is not None and length > context:
        raise ConfigError(f"{path} = {length}: longer than the model's window; allowed: 8 to {context}")
