"""What the benchmarks share: models of a shape, work that takes turns, peaks of arithmetic and memory, tables.

Needs torch, transformers and numpy alone, as does all that `engines.py` and `gpu.py` import at their top, so that
they run on a bare GPU machine.
"""

import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import naive
import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from prunescope.artifacts.facts import KINDS
from prunescope.importance.engine import collect_gradients
from prunescope.importance.modes import Mode
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loading import forward_batch
from prunescope.models.loss import batches, next_token_losses
from prunescope.trial.blocks import PARTS
from prunescope.trial.first_order import TOKENS, measure_first_order
from prunescope.trial.interventions import Intervention, measure
from prunescope.trial.removal import measure_removal
from prunescope.trial.stand_ins import Heard

CRITERIA = ("taylor", "taylor_2nd", "taylor_stream", "gate", "wanda", "magnitude", "shortgpt")
NAIVE, FLOOR = "naive", "bare forward + backward"
NAIVE_BATCH = 8
"""Windows of the naive way, or as many as ours where those are fewer: long ones would not fit."""

CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig}


# --- models -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """The shape of a model, to be filled with random weights."""

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool = False

    def build(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """Return the model, frozen, on the device."""
        config = CONFIGS[self.family](
            num_hidden_layers=self.layers,
            hidden_size=self.hidden,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.intermediate,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=8192,
            **({"sliding_window": None} if self.family == "mistral" else {}),
        )
        torch.manual_seed(0)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        return model.eval().requires_grad_(False)


PUBLIC = {
    "SmolLM2-135M": Shape("llama", 30, 576, 9, 3, 1536, 49_152, tied=True),
    "Mistral-7B-v0.3": Shape("mistral", 32, 4096, 32, 8, 14_336, 32_768),
    "Llama-3-8B": Shape("llama", 32, 4096, 32, 8, 14_336, 128_256),
    "Llama-2-13B": Shape("llama", 40, 5120, 40, 40, 13_824, 32_000),
    "Llama-3-70B": Shape("llama", 80, 8192, 64, 8, 28_672, 128_256),
}
"""Shapes of public models."""


def random_windows(model: nn.Module, samples: int, tokens: int) -> Tensor:
    """Return random tokens, int64 ``[samples, tokens]``, on the model's device."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, model.config.vocab_size, (samples, tokens), generator=generator).to(model.device)


# --- work -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One of the ways to do a task.

    Attributes:
        name: for the table. work: does the task, or `share` of it. flops: operations of the whole task.
        share: seconds are divided by it.
    """

    name: str
    work: Callable[[], object]
    flops: float
    share: float = 1.0


@dataclass
class Result:
    """What a run took: seconds of the whole task by round, peak memory in bytes; or why there is nothing."""

    run: Run
    seconds: list[float] = field(default_factory=list)
    memory: int = 0
    failure: str | None = None


def matrix_parameters(adapter: ModelAdapter) -> int:
    """Return the parameters that a token is multiplied with: those of the layers and of the head."""
    return adapter.decoder_parameters + adapter.model.get_output_embeddings().weight.numel()


def dense_flops(adapter: ModelAdapter, windows: Tensor) -> float:
    """Return the operations of one forward pass: 2 per parameter and token, attention scores left out."""
    return 2 * matrix_parameters(adapter) * windows.numel()


def removal_flops(adapter: ModelAdapter, windows: Tensor) -> float:
    """Return the operations of all removals (see `trial.removal`), counted as in `dense_flops`."""
    count, above = len(adapter.layers), 3 * (len(adapter.layers) - 1) / 2
    kinds = dict.fromkeys(KINDS, 0)
    for block in adapter.blocks:
        kinds[block.facts.block] += block.facts.parameters
    head = adapter.model.get_output_embeddings().weight.numel()
    parameters = kinds["attention"] * (1 + above) + kinds["mlp"] * (2 + above) + head * (3 * count + 1)
    return 2 * parameters * windows.numel()


def gradient_runs(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> list[Run]:
    """Return the ways to take the gradients: no more than that, our modes, the naive way."""
    one_pass = dense_flops(adapter, windows)
    ours = partial(collect_gradients, adapter, windows, CRITERIA, batch_size)
    return [
        Run(FLOOR, partial(bare_pass, adapter, windows, batch_size), 3 * one_pass),
        Run("accumulate", partial(ours, Mode("accumulate")), 3 * one_pass),
        Run("layered", partial(ours, Mode("layered")), 4 * one_pass),
        Run("stream", partial(ours, Mode("stream")), 3 * one_pass),
        Run("gate", partial(ours, Mode("gate")), 2 * one_pass),  # no gradients of weights
        Run(NAIVE, partial(naive_pass, adapter, windows, min(NAIVE_BATCH, batch_size)), 3 * one_pass),
    ]


def bare_pass(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> None:
    """Take the gradients of the prunable weights, and drop them."""
    weights = [adapter.parameters[grouped.name] for block in adapter.blocks for grouped in block.weights]
    for weight in weights:
        weight.requires_grad_(True)
    for part in batches(windows, batch_size, adapter.device):
        next_token_losses(adapter.model, part).mean().backward()
        for weight in weights:
            weight.grad = None
    adapter.model.requires_grad_(False)


def naive_pass(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> None:
    """Run the naive way; leave nothing behind, even where it runs out of memory."""
    try:
        naive.gradients(adapter.model, windows, batch_size)
    finally:
        adapter.model.zero_grad(set_to_none=True)
        adapter.model.requires_grad_(False)


def removal_runs(adapter: ModelAdapter, windows: Tensor, ours: int, texts: int, removals: int) -> list[Run]:
    """Return the ways to the removal prior: measured, estimated, the naive way.

    Args:
        ours: windows that we measure (time is linear in them).
        texts, removals: of the naive way (time is linear in both).
    """
    count, one_pass = 3 * len(adapter.layers), dense_flops(adapter, windows)
    few, call = windows[:ours], forward_batch(windows, adapter.model)
    small = max(1, TOKENS // windows.shape[1])
    chosen = [(index // 3, PARTS[index % 3]) for index in range(0, count, max(1, count // removals))][:removals]
    share = (len(chosen) + 1) / (count + 1) * texts / len(windows)
    exact = partial(measure_removal, adapter, few, call)
    return [
        Run("exact", exact, removal_flops(adapter, windows), ours / len(windows)),
        Run("first_order", partial(measure_first_order, adapter, windows, small), 2 * one_pass),
        Run(NAIVE, partial(naive.removal, adapter.model, windows[:texts], chosen), (count + 1) * one_pass, share),
    ]


def intervention_runs(adapter: ModelAdapter, windows: Tensor, count: int, singles: int) -> list[Run]:
    """Return the ways to measure plans: all in one sweep over the layers, and model by model.

    Args:
        count: plans, each of a random fifth of all groups. singles: how many are measured one by one.
    """
    plans, call, one_pass = (
        random_plans(adapter, count),
        forward_batch(windows, adapter.model),
        dense_flops(adapter, windows),
    )
    together, alone = partial(measure, adapter, windows, plans, call), partial(one_by_one, adapter, windows)
    return [
        Run("interventions", partial(together, divergence=False), (count + 1) * one_pass),
        Run("with KL", together, (count + 1) * one_pass),
        Run(NAIVE, partial(alone, plans[:singles], call), count * one_pass, singles / count),
    ]


def random_plans(adapter: ModelAdapter, count: int) -> list[Intervention]:
    """Return plans that silence a random fifth of the groups of every block."""
    random = np.random.default_rng(0)

    def silent(groups: int) -> tuple[int, ...]:
        return (*np.sort(random.choice(groups, groups // 5, replace=False)).tolist(),)

    facts = {block.name: block.facts for block in adapter.blocks}
    return [Intervention(str(n), {name: silent(one.groups) for name, one in facts.items()}) for n in range(count)]


@torch.no_grad()
def one_by_one(
    adapter: ModelAdapter, windows: Tensor, plans: Sequence[Intervention], batch_size: int
) -> list[list[float]]:
    """Return the mean loss of every window under each plan, from a masked model per plan."""
    losses = []
    for plan in plans:
        found: list[float] = []
        for part in batches(windows, batch_size, adapter.device):
            with ExitStack() as stack:
                for block in adapter.blocks:
                    speaking = torch.ones(len(part), block.facts.groups, dtype=torch.bool)
                    speaking[:, list(plan.silent[block.name] or ())] = False
                    where = block.facts.layer, block.facts.block
                    stack.enter_context(adapter.reading(*where, Heard(speaking.to(adapter.device))))
                found += next_token_losses(adapter.model, part).mean(dim=1).tolist()
        losses.append(found)
    return losses


# --- measuring --------------------------------------------------------------------------------------


def take_turns(runs: Iterable[Run], rounds: int, device: torch.device) -> list[Result]:
    """Let all runs take turns, `rounds` times, so that what else the machine does hits all of them."""
    results = [Result(run) for run in runs]
    for _ in range(rounds):
        for result in results:
            if result.failure is None:
                _measure(result, device)
    return results


def _measure(result: Result, device: torch.device) -> None:
    gc.collect()
    _reset_memory(device)
    begin = time.perf_counter()
    try:
        result.run.work()
        _wait(device)
    except torch.OutOfMemoryError:
        result.failure = "out of memory"
        return
    result.seconds.append((time.perf_counter() - begin) / result.run.share)
    result.memory = max(result.memory, _peak_memory(device))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _reset_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)  # gives back what the run before has freed
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the resident set


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    if platform.system() != "Linux":
        return 0
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def matmul_peak(dtype: torch.dtype, device: torch.device, runs: int = 5) -> float:
    """Return the best rate of a square matrix product, in operations per second."""
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(runs):
        _wait(device)
        begin = time.perf_counter()
        matrix @ matrix
        _wait(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


# --- tables -----------------------------------------------------------------------------------------


def describe(adapter: ModelAdapter, peak: float) -> str:
    """Return one line on the machine and the model."""
    device = torch.cuda.get_device_name() if adapter.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    dtype = str(adapter.model.dtype).removeprefix("torch.")
    return (
        f"{device}, torch {torch.__version__}, {dtype}, {peak / 1e9:,.0f} GFLOP/s of matmul; "
        f"{matrix_parameters(adapter) / 1e6:,.1f} M parameters in layers and head"
    )


def as_table(title: str, results: list[Result], one_pass: float, tokens: int, peak: float) -> str:
    """Return a Markdown table: the fastest round of each run, and the median of the naive way's ratio to it.

    Args:
        one_pass: operations of a dense pass over all `tokens`; work is counted in these.
    """
    slow = next(result.seconds for result in results if result.run.name == NAIVE)
    lines = [
        f"| {title} | seconds | tokens/s | dense passes | of matmul peak | peak memory | naive / this | measured |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        run, seconds = result.run, min(result.seconds, default=0.0)
        ratios = [one / other for one, other in zip(slow, result.seconds, strict=False)]
        cells = (
            [result.failure]
            if result.failure
            else [
                f"{seconds:,.1f}" if seconds >= 10 else f"{seconds:.3f}",
                f"{tokens / seconds:,.0f}" if run.flops else "",
                f"{run.flops / one_pass:.1f}" if run.flops else "",
                f"{run.flops / seconds / peak:.0%}" if run.flops else "",
                f"{result.memory / 2**30:,.2f} GiB",
                f"{statistics.median(ratios):.1f}" if ratios else "",
                f"{run.share:.1%}",
            ]
        )
        lines.append(f"| {' | '.join([run.name, *cells, *[''] * (7 - len(cells))])} |")
    return "\n".join(lines)
