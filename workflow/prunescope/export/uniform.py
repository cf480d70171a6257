"""A pruned checkpoint with zeros put back until every layer has the same shape: loads in stock transformers."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.export.source import LayerShape, Source
from prunescope.models.configuration import load_any_config, skeleton
from prunescope.models.weights import write_shards
from prunescope.pruning.checkpoint import copy_companions

OURS = ("per_layer_config", "auto_map")


def write_uniform(checkpoint: Source, folder: Path) -> int:
    """Write a stock checkpoint that computes exactly what the pruned one computes.

    Kept groups come first and zeros follow, which is where the pruned weights are already: every tensor is the
    leading part of its padded one. A zero head attends to zero values, a zero channel is silu(0) * 0 = 0, and a
    block that is gone is all zeros, its norm included.

    Returns:
        the number of parameters stored, zeros included and tied ones once.
    """
    written = CheckpointFolder(folder)
    written.config.write(uniform_config(checkpoint))
    shapes = {name: tuple(p.shape) for name, p in skeleton(load_any_config(folder)).named_parameters()}
    copy_companions(checkpoint.folder, folder)
    kept = CheckpointFolder(checkpoint.folder).kept
    if kept.exists():
        shutil.copy(kept.path, written.kept.path)
    return write_shards(((name, _padded(checkpoint, name, shape)) for name, shape in shapes.items()), folder)


def uniform_shape(checkpoint: Source) -> LayerShape:
    """Return the smallest shape that holds every layer and that a stock configuration accepts.

    Stock configurations want the hidden size to be a multiple of the number of heads; the parent's own number of
    heads is taken where no smaller one will do.
    """
    content = checkpoint.content
    parent, per_group = content["num_key_value_heads"], content["num_attention_heads"] // content["num_key_value_heads"]
    least = max(1, *(shape.kv_heads for shape in checkpoint.layers))
    fitting = (count for count in range(least, parent) if content["hidden_size"] % (count * per_group) == 0)
    kv_heads = next(fitting, parent)
    return LayerShape(kv_heads * per_group, kv_heads, max(1, *(shape.width for shape in checkpoint.layers)))


def uniform_config(checkpoint: Source) -> dict[str, Any]:
    """Return the stock configuration as JSON content."""
    content, shape = checkpoint.content, uniform_shape(checkpoint)
    return {name: value for name, value in content.items() if name not in OURS} | {
        "model_type": checkpoint.family,
        "architectures": [name.removeprefix("Pruned") for name in content["architectures"]],
        "head_dim": checkpoint.head_dim,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.width,
    }


def _padded(checkpoint: Source, name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in checkpoint.parameters:  # of a block that is gone
        return torch.zeros(shape, dtype=checkpoint.config.dtype)
    weights = checkpoint.read(name)
    if tuple(weights.shape) == shape:
        return weights
    padded = torch.zeros(shape, dtype=weights.dtype)
    padded[tuple(slice(size) for size in weights.shape)] = weights
    return padded
