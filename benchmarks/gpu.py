"""Time gradients, removal and interventions of 7B and 8B models on one GPU against the naive way.

Random weights, in bfloat16.

    python benchmarks/gpu.py            # within nine minutes; the tables come last, in one piece
    python benchmarks/gpu.py --tiny     # a dry run on any machine, in seconds

Needs torch, transformers and numpy alone; `PYTHONPATH=workflow` where the package is not installed.
"""

import argparse
import time
from dataclasses import dataclass

import torch
from measure import (
    PUBLIC,
    Shape,
    as_table,
    dense_flops,
    describe,
    gradient_runs,
    intervention_runs,
    matmul_peak,
    random_windows,
    removal_runs,
    take_turns,
)

from prunescope.models.adapter import ModelAdapter, adapter_for

MISTRAL_7B, LLAMA_3_8B = PUBLIC["Mistral-7B-v0.3"], PUBLIC["Llama-3-8B"]
TINY = Shape("mistral", 3, 96, 4, 2, 160, 512)
BATCH_TOKENS = 4096
PLANS, TRIAL = 64, 16
"""Interventions, and the windows that they are measured on."""
BUDGET = 510
"""Seconds after which no further case is begun."""


@dataclass(frozen=True)
class Case:
    """What is measured: all windows of the gradients; of the removals `ours`, and `texts` the naive way."""

    shape: Shape
    name: str
    samples: int
    tokens: int
    ours: int
    texts: int

    def scaled_down(self) -> "Case":
        return Case(TINY, f"tiny, {self.name}", 4, 32, 3, 2)


CASES = (
    Case(MISTRAL_7B, "Mistral-7B-v0.3", 128, 128, ours=128, texts=8),
    Case(MISTRAL_7B, "Mistral-7B-v0.3", 128, 512, ours=20, texts=4),
    Case(MISTRAL_7B, "Mistral-7B-v0.3", 32, 2048, ours=5, texts=2),
    Case(LLAMA_3_8B, "Llama-3-8B", 128, 128, ours=42, texts=8),
)


def main() -> None:
    """Measure all cases, as far as the time goes, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU")
    tiny = parser.parse_args().tiny
    device = torch.device("cpu" if tiny else "cuda")
    dtype = torch.float32 if tiny else torch.bfloat16
    begin, peak, tables, shape, adapter = time.monotonic(), matmul_peak(dtype, device), [], None, None
    for case in CASES:
        case = case.scaled_down() if tiny else case
        if time.monotonic() - begin > BUDGET:
            tables.append(f"{case.name}, {case.samples} x {case.tokens}: left out, {BUDGET} s were over")
            continue
        if case.shape != shape:
            adapter = None  # frees the model before
            shape, adapter = case.shape, adapter_for(case.shape.build(dtype, device))
            tables.append(f"{case.name} shape: {describe(adapter, peak)}")
        tables += measure(case, adapter, peak)
        print(f"{time.monotonic() - begin:.0f} s: {case.name}, {case.samples} x {case.tokens} done", flush=True)
    print("\n" + "\n\n".join(tables))


def measure(case: Case, adapter: ModelAdapter, peak: float) -> list[str]:
    """Return the tables of one case."""
    windows = random_windows(adapter.model, case.samples, case.tokens)
    one_pass, size = dense_flops(adapter, windows), f"{case.samples} x {case.tokens}"
    batch = max(1, BATCH_TOKENS // case.tokens)
    take_turns(gradient_runs(adapter, windows[:batch], batch), 1, adapter.device)  # kernels are chosen and built
    tasks = {
        "gradients": gradient_runs(adapter, windows, batch),
        "removal": removal_runs(adapter, windows, case.ours, case.texts, removals=6),
    }
    tables = [
        as_table(f"{task}, {size}", take_turns(runs, 1, adapter.device), one_pass, windows.numel(), peak)
        for task, runs in tasks.items()
    ]
    few = windows[:TRIAL]
    runs = take_turns(intervention_runs(adapter, few, PLANS, PLANS // 8), 1, adapter.device)
    title = f"{PLANS} interventions, {len(few)} x {case.tokens}"
    return [*tables, as_table(title, runs, dense_flops(adapter, few), few.numel(), peak)]


if __name__ == "__main__":
    main()
