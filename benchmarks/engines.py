"""Time gradients, removal and table on a CPU against the naive way, in turns.

    make bench                                         # or: python benchmarks/engines.py
    python benchmarks/engines.py --tasks ranks --sizes 32x128 --windows 32 \\
        --samples results/SmolLM2-135M/_shared/calibration/wiki_n32_s128-*/samples.safetensors

The embedded model, if `make demo` has obtained it, else random weights of its shape. `--tasks ranks` prints how the
cheap priors rank blocks beside the measured one, which takes real text: `--samples`, for the first size.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import (
    NAIVE,
    PUBLIC,
    Run,
    Shape,
    as_table,
    dense_flops,
    describe,
    gradient_runs,
    matmul_peak,
    random_windows,
    removal_runs,
    take_turns,
)
from naive import gradients, table
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.loading import forward_batch
from prunescope.ranks import rank_correlation
from prunescope.trial.blocks import PARTS
from prunescope.trial.first_order import TOKENS, measure_first_order
from prunescope.trial.removal import measure_removal

CPU = torch.device("cpu")
EMBEDDED = "resources/models/SmolLM2-135M-*"
SMOLLM2 = PUBLIC["SmolLM2-135M"]
TINY = Shape("llama", 3, 96, 4, 2, 160, 512, tied=True)
BATCH = 8


def main() -> None:
    """Measure what the arguments say and print a table for each."""
    arguments = parse()
    adapter = adapter_for(load_model(arguments))
    peak = matmul_peak(torch.float32, CPU)
    print(describe(adapter, peak), flush=True)

    def show(title: str, runs: list[Run]) -> None:
        results = take_turns(runs, arguments.rounds, CPU)
        print(f"\n{as_table(title, results, dense_flops(adapter, windows), windows.numel(), peak)}", flush=True)

    for number, size in enumerate(arguments.sizes):
        samples, tokens = (int(part) for part in size.split("x"))
        windows = random_windows(adapter.model, samples, tokens)
        if number == 0 and arguments.samples:
            windows = load_file(arguments.samples)["input_ids"][:samples, :tokens].long()
        if "gradients" in arguments.tasks:
            show(f"gradients, {size}", gradient_runs(adapter, windows, BATCH))
        if "removal" in arguments.tasks:
            few = min(arguments.windows, samples)
            show(f"removal, {size}", removal_runs(adapter, windows, few, few, arguments.removals))
        if "ranks" in arguments.tasks:
            print(f"\n{rank_correlations(adapter, windows[: arguments.windows])}", flush=True)
    if "table" in arguments.tasks:
        show("table", table_runs(adapter, windows[:1, :64]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["32x128", "16x512"], help="windows x tokens")
    parser.add_argument("--tasks", nargs="+", default=["gradients", "removal", "table"], help="and `ranks`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--windows", type=int, default=2, help="windows of removal that are measured; the rest is scaled"
    )
    parser.add_argument("--removals", type=int, default=9, help="of the naive way that are measured")
    parser.add_argument("--samples", type=Path, help="calibration windows, of the model's own tokenizer")
    parser.add_argument("--tiny", action="store_true", help="a model of seconds, to see that all runs")
    return parser.parse_args()


def load_model(arguments: argparse.Namespace) -> torch.nn.Module:
    """Return the tiny model, the embedded one, or random weights of its shape."""
    folders = sorted(Path().glob(EMBEDDED))
    if arguments.tiny or not folders:
        return (TINY if arguments.tiny else SMOLLM2).build(torch.float32, CPU)
    model = AutoModelForCausalLM.from_pretrained(folders[0], dtype=torch.float32)
    return model.eval().requires_grad_(False)


def table_runs(adapter: ModelAdapter, windows: Tensor) -> list[Run]:
    """Return the way from saliency to sorted scores, from sums by group and from |w·g| group by group."""
    from prunescope.artifacts.passes import BlockValues
    from prunescope.config.sections import Method
    from prunescope.importance.engine import collect_gradients
    from prunescope.importance.prior import choose_prior
    from prunescope.importance.table import build_table

    blocks = tuple(block.facts for block in adapter.blocks)
    scores = collect_gradients(adapter, windows, ["taylor"], 1).saliency["taylor"]
    saliency = {name: values.numpy() for name, values in scores.items()}
    losses = {part: np.linspace(0.1, 1, len(adapter.layers)) for part in PARTS}
    method, prior = Method(temperature=1), choose_prior(BlockValues.of(**losses), 0.0)
    by_weight, _ = gradients(adapter.model, windows)
    lists = {part: values.tolist() for part, values in losses.items()}
    head_dim = adapter.module(0, "attention").head_dim
    return [
        Run("build_table", lambda: build_table(blocks, saliency, prior, method), 0.0),
        Run(NAIVE, lambda: table(by_weight, lists, head_dim, 1.0), 0.0),
    ]


def rank_correlations(adapter: ModelAdapter, windows: Tensor) -> str:
    """Return Spearman's correlation over the layers of each cheap prior with the measured removal losses."""
    exact = measure_removal(adapter, windows, forward_batch(windows, adapter.model))
    cheap = {
        "first_order": measure_first_order(adapter, windows, max(1, TOKENS // windows.shape[1])),
        "similarity": exact.similarity,
    }
    lines = ["| rank correlation with exact | attention | mlp | layer |", "| --- | ---: | ---: | ---: |"]
    for name, prior in cheap.items():
        values = [rank_correlation(getattr(exact, part).numpy(), getattr(prior, part).numpy()) for part in PARTS]
        lines.append(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
