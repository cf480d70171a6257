"""Time many plans measured in one sweep over the layers, against evaluating their masked models one by one.

python benchmarks/interventions.py                       # the embedded model, or random weights of its shape
python benchmarks/interventions.py --folder CHECKPOINT   # another one, its layers in memory and read as they run
python benchmarks/interventions.py --tiny                # a dry run in seconds
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from engines import CPU, EMBEDDED, SMOLLM2, TINY
from measure import NAIVE, Run, as_table, dense_flops, describe, matmul_peak, random_windows, take_turns
from torch import Tensor

from prunescope.artifacts.facts import BlockFacts
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.loading import calibration_dtype, compute_dtype, forward_batch, load_checkpoint, load_offloaded
from prunescope.models.loss import batches, next_token_losses
from prunescope.models.offload import offloaded_layers
from prunescope.pruning.surgery import mask_weights
from prunescope.trial.interventions import Intervention, measure


def main() -> None:
    """Print a table with the layers in memory, and one with layers that are read as they run."""
    told = parse()
    dtype = compute_dtype(calibration_dtype(told.dtype), CPU)
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.folder or next(iter(sorted(Path().glob(EMBEDDED))), None)
        if told.tiny or folder is None:
            folder = Path(temporary)
            (TINY if told.tiny else SMOLLM2).build(dtype, CPU).save_pretrained(folder)
        peak = matmul_peak(dtype, CPU)
        for name, load in {"in memory": load_checkpoint, "read as they run": load_offloaded}.items():
            adapter = adapter_for(load(folder, dtype, CPU))
            windows = random_windows(adapter.model, told.windows, told.tokens)
            results = take_turns(runs(adapter, windows, told.plans, told.singles), told.rounds, CPU)
            title = f"{told.plans} plans, {told.windows} x {told.tokens}, layers {name}"
            table = as_table(title, results, dense_flops(adapter, windows), windows.numel(), peak)
            print(f"{describe(adapter, peak)}\n\n{table}\n", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="a checkpoint")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--plans", type=int, default=64)
    parser.add_argument("--singles", type=int, default=8, help="plans that are measured one by one; the rest is scaled")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


def runs(adapter: ModelAdapter, windows: Tensor, count: int, singles: int) -> list[Run]:
    """Return the ways to measure plans: all in one sweep, and model by model.

    Args:
        count: plans, each of a random fifth of all groups. singles: how many are measured one by one.
    """
    plans, call = random_plans(adapter, count), forward_batch(windows, adapter.model)
    interventions = [Intervention.of_plan(str(number), plan) for number, plan in enumerate(plans)]
    work = dense_flops(adapter, windows)
    return [
        Run("interventions", partial(measure, adapter, windows, interventions, call, None, False), (count + 1) * work),
        Run("with KL", partial(measure, adapter, windows, interventions, call), (count + 1) * work),
        Run(NAIVE, partial(one_by_one, adapter, windows, plans[:singles], call), count * work, singles / count),
    ]


def random_plans(adapter: ModelAdapter, count: int) -> list[PruningPlan]:
    """Return plans that remove a random fifth of the groups of every block."""
    random = np.random.default_rng(0)

    def removed(block: BlockFacts) -> np.ndarray:
        return np.sort(random.choice(block.groups, block.groups // 5, replace=False))

    facts = [block.facts for block in adapter.blocks]
    return [PruningPlan("x", tuple(BlockPlan(block, removed(block)) for block in facts)) for _ in range(count)]


@torch.no_grad()
def one_by_one(adapter: ModelAdapter, windows: Tensor, plans: Sequence[PruningPlan], batch_size: int) -> None:
    """Evaluate the masked model of each plan on all windows."""
    for plan in plans:
        with masked(adapter, plan):
            for part in batches(windows, batch_size, adapter.device):
                next_token_losses(adapter.model, part).sum().item()


@contextmanager
def masked(adapter: ModelAdapter, plan: PruningPlan) -> Iterator[None]:
    """Within the block, the model has zeros for what the plan removes."""
    layers = offloaded_layers(adapter.model)
    if layers is not None:
        read = layers._read
        layers._read = mask_weights(adapter, plan, read)
        yield
        layers._read = read
        return
    kept = {name: parameter.data for name, parameter in adapter.parameters.items()}
    read = mask_weights(adapter, plan, kept.__getitem__)
    for name, parameter in adapter.parameters.items():
        parameter.data = read(name)
    yield
    for name, parameter in adapter.parameters.items():
        parameter.data = kept[name]


if __name__ == "__main__":
    main()
