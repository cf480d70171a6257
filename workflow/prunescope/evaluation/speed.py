"""How fast engines run their models, timed in turn in one process."""

import statistics
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from prunescope.config.sections import Efficiency
from prunescope.evaluation.peak_memory import extra_memory
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
        p50, p95 = np.percentile(self.decode, [50, 95])
        return {
            "prefill_tokens_per_second": batch * prompt / statistics.median(self.prefill),
            "decode_tokens_per_second": batch / float(p50),
            "latency_p50_seconds": float(p50),
            "latency_p95_seconds": float(p95),
            "peak_memory_bytes": None if self.extra_bytes is None else weight_bytes + self.extra_bytes,
        }


class Engine(Protocol):
    """A loaded model and what runs it."""

    def run(self, runs: Runs, batch: int, prompt: int, generate: int) -> None:
        """Read `batch` prompts of random tokens, decode `generate` more with a cache, and add the times to `runs`."""


def measure_speed(engines: dict[str, Engine], told: Efficiency) -> dict[int, dict[str, Runs]]:
    """Time the models in turn, so that what slows the machine for a while slows all: ``{batch: {name: runs}}``."""
    total = len(told.batch_sizes) * (told.repeats + 1) * len(engines)
    progress = Progress("efficiency", total=total, unit="runs")
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


@dataclass(frozen=True)
class Transformers:
    """A model in plain transformers, which decodes greedily; an `Engine`."""

    model: nn.Module

    @torch.no_grad()
    def run(self, runs: Runs, batch: int, prompt: int, generate: int) -> None:
        device = next(self.model.parameters()).device
        tokens = random_tokens(batch, prompt, self.model.config.vocab_size).to(device)
        with extra_memory(device, runs.keep_extra):
            seconds, out = self._timed(device, tokens, use_cache=True, logits_to_keep=1)
            runs.prefill.append(seconds)
            for _ in range(generate):
                tokens, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
                seconds, out = self._timed(device, tokens, past_key_values=cache, use_cache=True)
                runs.decode.append(seconds)

    def _timed(self, device: torch.device, *arguments: Any, **options: Any) -> tuple[float, Any]:
        _wait(device)
        begin = time.perf_counter()
        out = self.model(*arguments, **options)
        _wait(device)
        return time.perf_counter() - begin, out


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
