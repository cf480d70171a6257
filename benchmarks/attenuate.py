"""Damage a model on purpose: MLP blocks of early layers that hardly write to the residual stream.

    python benchmarks/attenuate.py resources/models/Study-135M-source-... resources/models/Attenuated-135M

The down projections of some layers are multiplied by a small factor. Their gradients stay, their weights are small, and
so is |w g|: plain Taylor importance at T = 0 takes nearly all of these blocks, as it does on Mistral-7B-v0.3. See
docs/extreme-pruning.md.
"""

import argparse
import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

LAYERS = (3, 4)
FACTOR = 0.05


def attenuate(source: Path, target: Path, layers: tuple[int, ...], factor: float) -> None:
    """Copy a checkpoint folder, the down projections of `layers` multiplied by `factor`."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    names = {f"model.layers.{layer}.mlp.down_proj.weight" for layer in layers}
    for shard in source.glob("*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            metadata = file.metadata()
        for name in names & weights.keys():
            weights[name] = weights[name] * factor
        save_file(weights, target / shard.name, metadata)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS)
    parser.add_argument("--factor", type=float, default=FACTOR)
    told = parser.parse_args()
    attenuate(told.source, told.target, tuple(told.layers), told.factor)
