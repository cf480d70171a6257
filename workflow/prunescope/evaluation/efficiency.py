"""What pruning buys: speed, memory and size of checkpoints, measured in turn in one process."""

import ctypes
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunescope.config.sections import Efficiency
from prunescope.config.specs import EfficiencySpec
from prunescope.evaluation.hardware import describe_hardware
from prunescope.files import write_json
from prunescope.models.facts import ModelFacts
from prunescope.models.loading import compute_dtype, compute_tags, default_device, load_checkpoint, skeleton
from prunescope.progress import Progress
from prunescope.tracking.record import StepRecord, flatten, recording

WARM_UP_TOKENS = 2


@dataclass(frozen=True)
class Cost:
    """What a model costs by its shape alone.

    Attributes:
        parameters: tied ones once. checkpoint_bytes: of its safetensors files. weight_bytes: in the compute dtype.
        kv_cache_bytes_per_token: of the cache after the prompt, per token of it and sequence.
        prefill_flops_per_token: floating-point operations (a multiplication and an addition are two) of the prompt,
            per token of it; attention counts all pairs of positions, and logits only the last.
        decode_flops_per_token: of one token after the prompt.
    """

    parameters: int
    checkpoint_bytes: int
    weight_bytes: int
    kv_cache_bytes_per_token: float
    prefill_flops_per_token: float
    decode_flops_per_token: int


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


def write_efficiency(spec: EfficiencySpec, facts: ModelFacts, directory: Path) -> None:
    """Measure the unpruned and the pruned model; write ``evaluation/efficiency.json`` {baseline, pruned, settings}."""
    with recording(spec.step, spec.experiment, directory / "records/efficiency.json") as record:
        device = default_device()
        dtype = compute_dtype(spec.dtype, device)
        paths = {"baseline": Path(facts.path), "pruned": directory / "model"}
        models = {name: load_checkpoint(path, dtype, device) for name, path in paths.items()}
        costs = {name: measure_cost(model, paths[name], spec.prompt) for name, model in models.items()}
        measured = {name: asdict(cost) | {"batches": {}} for name, cost in costs.items()}
        for batch, runs in measure_speed(models, spec).items():
            for name, timed in runs.items():
                summary = timed.summary(batch, spec.prompt, costs[name].weight_bytes)
                measured[name]["batches"][f"b{batch}"] = summary
        tags = compute_tags(models["pruned"])
        settings = spec.model_dump(include=set(Efficiency.model_fields)) | tags
        settings |= {"attention": models["pruned"].config._attn_implementation, "hardware": describe_hardware(device)}
        write_json(directory / "evaluation/efficiency.json", measured | {"settings": settings})
        _note(record, measured["pruned"], "speed/")
        _note(record, measured["baseline"], "speed_baseline/")
        record.tags |= tags
        record.artifacts.append("../evaluation/efficiency.json")


def measure_cost(model: nn.Module, checkpoint: Path, prompt: int) -> Cost:
    """Count what a prompt of `prompt` tokens and the token after it cost.

    PyTorch counts the operations on a copy of the model without weights, which computes nothing; run on a device it
    would miss fused attention kernels.
    """
    empty = skeleton(model.config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as prefill:
        cache = empty(_tokens(1, prompt, "meta"), use_cache=True, logits_to_keep=1).past_key_values
    # A layer without attention leaves a slot at the end of the cache unused.
    cached = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers if layer.is_initialized)
    with torch.no_grad(), FlopCounterMode(display=False) as decode:
        empty(_tokens(1, 1, "meta"), past_key_values=cache, use_cache=True)
    parameters = list(model.parameters())
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        checkpoint_bytes=sum(file.stat().st_size for file in checkpoint.glob("*.safetensors")),
        weight_bytes=sum(parameter.nbytes for parameter in parameters),
        kv_cache_bytes_per_token=cached * model.dtype.itemsize / prompt,
        prefill_flops_per_token=prefill.get_total_flops() / prompt,
        decode_flops_per_token=decode.get_total_flops(),
    )


def measure_speed(models: dict[str, nn.Module], told: Efficiency) -> dict[int, dict[str, Runs]]:
    """Time the models in turn, so that what slows the machine for a while slows all: ``{batch: {name: runs}}``."""
    total = len(told.batch_sizes) * (told.repeats + 1) * len(models)
    progress = Progress("efficiency", total=total, unit="runs")
    measured = {batch: {name: Runs() for name in models} for batch in told.batch_sizes}
    for batch, runs in measured.items():
        for repeat in range(told.repeats + 1):
            for name, model in models.items():
                if repeat == 0:  # kernels are chosen and memory is obtained
                    _run(model, Runs(), batch, told.prompt, WARM_UP_TOKENS)
                else:
                    _run(model, runs[name], batch, told.prompt, told.generate)
                progress.advance(1)
    return measured


@torch.no_grad()
def _run(model: nn.Module, runs: Runs, batch: int, prompt: int, generate: int) -> None:
    """Read a prompt of random tokens and decode greedily, with a cache."""
    device = next(model.parameters()).device
    tokens = _tokens(batch, prompt, device, model.config.vocab_size)
    with _extra_memory(device, runs):
        seconds, out = _timed(device, model, tokens, use_cache=True, logits_to_keep=1)
        runs.prefill.append(seconds)
        for _ in range(generate):
            tokens, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
            seconds, out = _timed(device, model, tokens, past_key_values=cache, use_cache=True)
            runs.decode.append(seconds)


def _timed(device: torch.device, model: nn.Module, *arguments: Any, **options: Any) -> tuple[float, Any]:
    _wait(device)
    begin = time.perf_counter()
    out = model(*arguments, **options)
    _wait(device)
    return time.perf_counter() - begin, out


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _tokens(batch: int, length: int, device: torch.device | str, vocabulary: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (batch, length), generator=random).to(device)


@contextmanager
def _extra_memory(device: torch.device, runs: Runs) -> Iterator[None]:
    """Keep the highest memory that the block adds: of the allocator on a GPU, resident on a CPU (Linux only)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        extra = torch.cuda.max_memory_allocated(device) - before
    else:
        before = _resident("VmRSS") if _release_and_reset_peak() else None
        yield
        extra = None if before is None else max(0, _resident("VmHWM") - before)
    if extra is not None:
        runs.extra_bytes = max(extra, runs.extra_bytes or 0)


def _release_and_reset_peak() -> bool:
    """Start the kernel's record of the highest resident memory anew; return whether it let us.

    What earlier runs freed is returned first, or a run that uses it again would seem to need nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _resident(field_name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field_name}:"))
    return int(line.split()[1]) * 1024


def _note(record: StepRecord, measured: dict[str, Any], prefix: str) -> None:
    """Note numbers as ``speed/decode_tokens_per_second_b1``; those of the shape have no batch."""
    shape = {name: value for name, value in measured.items() if name != "batches"}
    by_batch = {
        f"{name}_{batch}": value for batch, summary in measured["batches"].items() for name, value in summary.items()
    }
    record.metrics |= {f"{prefix}{name}": v for name, v in flatten(shape | by_batch).items() if v is not None}
