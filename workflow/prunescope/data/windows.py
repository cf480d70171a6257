"""Evaluation windows: spread over the whole split, since perplexity differs two-fold between articles."""

import numpy as np

from prunescope.errors import ConfigError, DataError


def spread_windows(tokens: np.ndarray, length: int, max_tokens: int) -> np.ndarray:
    """Cut non-overlapping windows from a stream of tokens, the first at its start, the last at its end.

    Args:
        tokens: ``[T]`` token ids.
        length: tokens per window.
        max_tokens: at most this many tokens are used.

    Returns:
        int32 ``[n, length]`` with ``n = min(max_tokens, T) // length``.

    Raises:
        DataError: not one window fits.
    """
    count = min(max_tokens, len(tokens)) // length
    if count == 0:
        raise DataError(
            f"a window of {length} tokens does not fit into {len(tokens)} tokens of test text "
            f"with max_tokens {max_tokens}: shorten evaluation.windows, raise evaluation.max_tokens "
            "or give more text"
        )
    # Rounding down cannot bring two starts closer than `length`: their exact distance is at least that.
    starts = np.arange(count) * (len(tokens) - length) // max(count - 1, 1)
    return tokens[starts[:, None] + np.arange(length)].astype(np.int32)


def check_window(path: str, length: int, context: int | None) -> None:
    """Raise `ConfigError` when the window at a config path is longer than the model takes (None: unknown)."""
    if context is not None and length > context:
        raise ConfigError(f"{path} = {length}: longer than the model's window; allowed: 8 to {context}")
