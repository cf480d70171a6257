"""How long some work on a device takes, added up over many calls."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
