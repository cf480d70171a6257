"""Does bfloat16 rank the groups as float32 does?

    python benchmarks/dtypes.py resources/models/SmolLM2-135M-source-... results/.../calibration/.../samples.safetensors

Prints, per criterion, Spearman's correlation between the saliency of the groups of a block computed in either dtype:
the lowest block and the median. On a CPU without bfloat16 instructions matrix products are emulated exactly as
matrix units do them: bfloat16 operands, float32 sums, a bfloat16 result.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from prunescope.importance.engine import GradientPass, collect_gradients
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import default_device, load_checkpoint, native_bfloat16
from prunescope.ranks import rank_correlation

CRITERIA = ("taylor", "taylor_2nd", "taylor_stream", "gate", "wanda")
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.addmm.default}


class EmulatedProducts(TorchDispatchMode):
    """Matrix products of bfloat16 tensors with float32 sums, at the speed of float32."""

    def __torch_dispatch__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Tensor:
        if function not in PRODUCTS or args[0].dtype != torch.bfloat16:
            return function(*args, **(kwargs or {}))
        return function(*tree_map_only(Tensor, Tensor.float, args), **(kwargs or {})).bfloat16()


def scored(folder: Path, windows: Tensor, dtype: torch.dtype) -> GradientPass:
    """Score all groups in a dtype; attention is written out, so that its products are seen."""
    device = default_device()
    model = load_checkpoint(folder, dtype, device)
    model.set_attn_implementation("eager")
    emulated = dtype == torch.bfloat16 and device.type == "cpu" and not native_bfloat16()
    with products(emulated):
        return collect_gradients(adapter_for(model), windows, CRITERIA, batch_size=8)


def products(emulated: bool) -> AbstractContextManager:
    """Return how matrix products are computed."""
    return EmulatedProducts() if emulated else nullcontext()


def compare(folder: Path, windows: Tensor) -> None:
    """Print a row per criterion."""
    single, half = (scored(folder, windows, dtype) for dtype in (torch.float32, torch.bfloat16))
    print(f"loss {single.loss:.4f} in float32, {half.loss:.4f} in bfloat16\n")
    print("| criterion | lowest block | median |\n| --- | ---: | ---: |")
    for name in CRITERIA:
        correlations = {
            block: rank_correlation(scores.numpy(), half.saliency[name][block].numpy())
            for block, scores in single.saliency[name].items()
        }
        known = {block: value for block, value in correlations.items() if value is not None}
        lowest = min(known, key=known.get)
        print(f"| {name} | {known[lowest]:.4f} ({lowest}) | {np.median(list(known.values())):.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a checkpoint")
    parser.add_argument("samples", type=Path, help="samples.safetensors of the calibration step")
    told = parser.parse_args()
    compare(told.model, load_file(told.samples)["input_ids"])
