"""Damage a model on purpose, to see what pruning and its diagnosis make of it.

    python benchmarks/damage.py attenuated-early resources/models/Study-135M-source-... resources/models/Attenuated-135M

MLP blocks that hardly write to the residual stream (attenuated) or write too much (amplified), early, in the middle and
late; a layer whose weights are in random order; an MLP under noise; a norm that is too small or too large. An
attenuated MLP keeps its gradients, its weights are small, and so is |w g|: plain Taylor importance at T = 0 takes
nearly all of it, as it does on Mistral-7B-v0.3. See docs/extreme-pruning.md and docs/truth.md.
"""

import argparse
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Change = Callable[[Tensor, torch.Generator], Tensor]
"""Takes a weight and returns what it becomes."""


def scaled(factor: float) -> Change:
    """Multiply a weight."""
    return lambda weight, _: weight * factor


def noisy(weight: Tensor, random: torch.Generator) -> Tensor:
    """Add noise of the weight's own standard deviation."""
    noise = torch.randn(weight.shape, generator=random) * weight.float().std()
    return (weight.float() + noise).to(weight.dtype)


def permuted(weight: Tensor, random: torch.Generator) -> Tensor:
    """Put the entries into random order."""
    return weight.flatten()[torch.randperm(weight.numel(), generator=random)].view_as(weight)


def down_projections(first: int) -> str:
    """Return what matches the down projections of a layer and the next one."""
    return rf"layers\.({first}|{first + 1})\.mlp\.down_proj\.weight"


DAMAGES: dict[str, tuple[str, Change]] = {
    "attenuated-early": (down_projections(3), scaled(0.05)),
    "attenuated-middle": (down_projections(14), scaled(0.05)),
    "attenuated-late": (down_projections(25), scaled(0.05)),
    "amplified-early": (down_projections(3), scaled(3)),
    "amplified-middle": (down_projections(14), scaled(3)),
    "amplified-late": (down_projections(25), scaled(3)),
    "permuted-layer": (r"layers\.12\.(self_attn|mlp)\.\w+\.weight", permuted),
    "noisy-mlp": (r"layers\.10\.mlp\.\w+\.weight", noisy),
    "small-norm": (r"layers\.15\.post_attention_layernorm\.weight", scaled(0.1)),
    "large-norm": (r"layers\.15\.post_attention_layernorm\.weight", scaled(10)),
}
"""By name: which weights (a pattern that ends their names), and what becomes of them."""


def damage(source: Path, target: Path, pattern: str, change: Change) -> None:
    """Copy a checkpoint folder, with the weights whose names end in `pattern` changed.

    Raises:
        ValueError: there is no such weight.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    random, changed = torch.Generator().manual_seed(0), 0
    for shard in sorted(source.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in sorted(file.keys())}
            metadata = file.metadata()
        for name in weights:
            if re.search(rf"(^|\.){pattern}$", name):
                weights[name] = change(weights[name], random)
                changed += 1
        save_file(weights, target / shard.name, metadata)
    if not changed:
        raise ValueError(f"{source} has no weight whose name ends in {pattern}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("damage", choices=DAMAGES)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    told = parser.parse_args()
    damage(told.source, told.target, *DAMAGES[told.damage])
