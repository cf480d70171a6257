"""How fast engines run their models, timed in turn in one process, and the most memory that a run adds."""

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from prunescope.config.sections import Efficiency
from prunescope.progress import Progress

WARM_UP_TOKENS = 2


@dataclass
class Runs:
    """Timed runs of one model with one batch size.

    Attributes:
        prefill: seconds per prompt, one number per run. decode: seconds per step, those of all runs.
        extra_bytes: highest memory beyond what was allocated before a run; None where it cannot be told.
    """

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    extra_bytes: int | None = None

    def keep_extra(self, extra: int) -> None:
        """Keep the highest memory of all runs."""
        self.extra_bytes = max(extra, self.extra_bytes or 0)

    def summary(self, batch: int, prompt: int, weight_bytes: int) -> dict[str, float | None]:
        """Return medians as tokens per second over the whole batch, and percentiles of the latency of a step."""
        p50, p95 = np.percentile(self.decode, [50, 95]).tolist()
        return {
            "prefill_tokens_per_second": batch * prompt / statistics.median(self.prefill),
            "decode_tokens_per_second": batch / p50,
            "latency_p50_seconds": p50,
            "latency_p95_seconds": p95,
            "peak_memory_bytes": None if self.extra_bytes is None else weight_bytes + self.extra_bytes,
        }


class Engine(Protocol):
    """A loaded model and what runs it."""

    def run(self, runs: Runs, batch: int, prompt: int, generate: int) -> None:
        """Read `batch` prompts of random tokens, decode `generate` more with a cache, and add the times to `runs`."""


def measure_speed(engines: dict[str, Engine], told: Efficiency) -> dict[int, dict[str, Runs]]:
    """Time the models in turn, so that what slows the machine for a while slows all: ``{batch: {name: runs}}``."""
    progress = Progress("efficiency", len(told.batch_sizes) * (told.repeats + 1) * len(engines), "runs")
    measured = {batch: {name: Runs() for name in engines} for batch in told.batch_sizes}
    for batch, runs in measured.items():
        for repeat in range(told.repeats + 1):
            for name, engine in engines.items():
                if repeat == 0:  # kernels are chosen and memory is obtained
                    engine.run(Runs(), batch, told.prompt, WARM_UP_TOKENS)
                else:
                    engine.run(runs[name], batch, told.prompt, told.generate)
                progress.advance(1)
    return measured


def random_tokens(batch: int, length: int, vocabulary: int) -> torch.Tensor:
    """Return the same tokens at every call, int64 ``[batch, length]``."""
    return torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))


class Transformers:
    """A model in plain transformers, which decodes greedily; an `Engine`."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.device = model, next(model.parameters()).device

    @torch.no_grad()
    def run(self, runs: Runs, batch: int, prompt: int, generate: int) -> None:
        tokens = random_tokens(batch, prompt, self.model.config.vocab_size).to(self.device)
        with extra_memory(self.device, runs.keep_extra):
            seconds, out = self._timed(tokens, logits_to_keep=1)
            runs.prefill.append(seconds)
            for _ in range(generate):
                seconds, out = self._timed(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values)
                runs.decode.append(seconds)

    def _timed(self, tokens: torch.Tensor, **options: Any) -> tuple[float, Any]:
        self._wait()
        begin = time.perf_counter()
        out = self.model(tokens, use_cache=True, **options)
        self._wait()
        return time.perf_counter() - begin, out

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def extra_memory(device: torch.device, keep: Callable[[int], None]) -> Iterator[None]:
    """Call `keep` with the bytes that the block adds at most: of the allocator on a GPU, resident on a CPU.

    It is not called where the kernel does not tell (on other systems than Linux).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        keep(torch.cuda.max_memory_allocated(device) - before)
    elif _release_and_reset_peak():
        before = _resident("VmRSS")
        yield
        keep(max(0, _resident("VmHWM") - before))
    else:
        yield


def _release_and_reset_peak() -> bool:
    """Reset the kernel's peak of resident memory and say whether it let us; memory that was freed goes back first."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _resident(field_name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field_name}:"))
    return int(line.split()[1]) * 1024
