"""Statistics of the gradient: of |g|, per parameter and batch, and what they cost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunescope.importance.pooling import pool

STATISTICS = ("mean", "std", "norm", "max", "min")
SUMS = ("sum", "squares", "max", "min")
"""Of |g|, of which the statistics follow."""


PIECE = 1 << 18
"""Values that a CPU reduces at a time: |g| of so many stays in its cache, and float32 sums keep their digits."""


class AbsoluteSums:
    """Reduces |g| to what its statistics follow from.

    The buffer for |g| is kept: to allocate one for every gradient costs a CPU as much as the statistics.
    """

    def __init__(self) -> None:
        self.buffers: dict[torch.device, Tensor] = {}

    def of(self, gradient: Tensor) -> Tensor:
        """Return the `SUMS` of |g|, float64 ``[4]`` on the device of `gradient`, which is contiguous."""
        flat = gradient.reshape(-1)
        pieces = flat.split(PIECE if flat.device.type == "cpu" else len(flat))
        parts = [self._reduced(torch.abs(piece, out=self._buffer(piece))) for piece in pieces]
        sums, squares, highest, lowest = torch.stack(parts).double().T
        return torch.stack([sums.sum(), squares.sum(), highest.amax(), lowest.amin()])

    @staticmethod
    def _reduced(values: Tensor) -> Tensor:
        return torch.stack([values.sum(), values.dot(values), values.amax(), values.amin()])

    def _buffer(self, piece: Tensor) -> Tensor:
        kept = self.buffers.get(piece.device)
        if kept is None or len(kept) < len(piece):
            kept = self.buffers[piece.device] = torch.empty_like(piece)
        return kept[: len(piece)]


def statistics_of(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the `STATISTICS` of |g|, float64 ``[..., 5]``.

    Args:
        sums: `SUMS`, float64 ``[..., 4]``. sizes: ``[...]``, of how many values.
    """
    total, squares, highest, lowest = np.moveaxis(sums, -1, 0)
    mean = total / sizes
    with np.errstate(invalid="ignore"):  # squares overflow before |g| does
        std = np.sqrt(np.maximum(squares / sizes - mean**2, 0))
    return np.stack([mean, std, np.sqrt(squares), highest, lowest], axis=-1)


@dataclass(frozen=True)
class GradientStatistics:
    """Statistics of |g|.

    Attributes:
        names, layers: of each parameter (or activation, where weights have no gradient): name, decoder layer.
        sizes: ``[parameters, batches]``, how many values each statistic is of.
        values: float64 ``[parameters, batches, 5]`` in the order of `STATISTICS`.
    """

    names: list[str]
    layers: list[int]
    sizes: np.ndarray
    values: np.ndarray

    def per_layer(self) -> dict[int, dict[str, float]]:
        """Pool the parameters of each layer, then average over the batches.

        Mean and std are those of all weights of the layer together; norm is the L2 norm of its whole gradient.
        """
        layers = np.asarray(self.layers)
        return {int(layer): self._pool(layers == layer) for layer in np.unique(layers)}

    def _pool(self, chosen: np.ndarray) -> dict[str, float]:
        values = dict(zip(STATISTICS, np.moveaxis(self.values[chosen], -1, 0), strict=True))
        return pool(values, self.sizes[chosen])

    def by_parameter_and_layer(self) -> dict[str, Any]:
        """Return ``parameters``: name -> statistic -> a value per batch, and ``layers``: see `per_layer`."""
        parameters = {
            name: {statistic: self.values[row, :, column].tolist() for column, statistic in enumerate(STATISTICS)}
            for row, name in enumerate(self.names)
        }
        return {"parameters": parameters, "layers": self.per_layer()}


class Stopwatch:
    """Adds up the time of ``with stopwatch.running():``.

    A GPU runs behind the host, so that there events in its own queue are timed, without waiting for them.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.spans: list[tuple] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        begin = self._now()
        yield
        self.spans.append((begin, self._now()))

    def _now(self) -> "float | torch.cuda.Event":
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Return the total; waits for the GPU to finish."""
        if not self.on_gpu:
            return sum(end - begin for begin, end in self.spans)
        torch.cuda.synchronize()
        return sum(begin.elapsed_time(end) for begin, end in self.spans) / 1000
