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


class AbsoluteStatistics:
    """Mean, std (population), L2 norm, max and min of |g|.

    The buffer for |g| is kept: to allocate one for every gradient costs a CPU as much as the statistics.
    """

    def __init__(self) -> None:
        self.buffers: dict[torch.device, Tensor] = {}

    def of(self, gradient: Tensor) -> Tensor:
        """Return the statistics of a gradient in the order of `STATISTICS`, float32 ``[5]`` on its device."""
        values = torch.abs(gradient, out=self._buffer(gradient))
        mean, (lowest, highest) = values.mean().double(), torch.aminmax(values)
        # `mean` sums in pairs; `vector_norm` loses digits in one long sum on a CPU: 0.5 % of 59 million values.
        mean_square = values.square_().mean().double()
        std, norm = (mean_square - mean.square()).clamp(min=0).sqrt(), (mean_square * gradient.numel()).sqrt()
        return torch.stack([mean, std, norm, highest, lowest]).float()

    def _buffer(self, gradient: Tensor) -> Tensor:
        kept = self.buffers.get(gradient.device)
        if kept is None or kept.numel() < gradient.numel():
            kept = self.buffers[gradient.device] = gradient.new_empty(gradient.numel())
        return kept[: gradient.numel()].view(gradient.shape)


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
