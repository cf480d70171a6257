"""A pruned checkpoint with zeros put back until every layer has the same shape: loads in stock transformers."""

import shutil
from pathlib import Path

import torch
from torch import Tensor

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.export.source import Source
from prunescope.models.configuration import load_any_config, skeleton
from prunescope.models.stock import LayerShape, stock_config, stock_groups
from prunescope.models.weights import write_shards
from prunescope.pruning.checkpoint import copy_companions


def write_uniform(checkpoint: Source, folder: Path) -> int:
    """Write a stock checkpoint that computes exactly what the pruned one computes.

    Kept groups come first and zeros follow, which is where the pruned weights are already: every tensor is the
    leading part of its padded one. A zero head attends to zero values, a zero channel is silu(0) * 0 = 0, and a
    block that is gone is all zeros, its norm included.

    Returns:
        the number of parameters stored, zeros included and tied ones once.
    """
    written = CheckpointFolder(folder)
    written.config.write(stock_config(checkpoint.content, uniform_shape(checkpoint), checkpoint.head_dim))
    shapes = {name: tuple(p.shape) for name, p in skeleton(load_any_config(folder)).named_parameters()}
    copy_companions(checkpoint.folder, folder)
    kept = CheckpointFolder(checkpoint.folder).kept
    if kept.exists():
        shutil.copy(kept.path, written.kept.path)
    return write_shards(((name, _padded(checkpoint, name, shape)) for name, shape in shapes.items()), folder)


def uniform_shape(checkpoint: Source) -> LayerShape:
    """Return the smallest shape that holds every layer and that stock programs take."""
    content = checkpoint.content
    per_group = content["num_attention_heads"] // content["num_key_value_heads"]
    least = max(1, *(shape.kv_heads for shape in checkpoint.layers))
    kv_heads = next(count for count in stock_groups(content) if count >= least)
    return LayerShape(kv_heads * per_group, kv_heads, max(1, *(shape.width for shape in checkpoint.layers)))


def _padded(checkpoint: Source, name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in checkpoint.parameters:  # of a block that is gone
        return torch.zeros(shape, dtype=checkpoint.config.dtype)
    weights = checkpoint.read(name)
    if tuple(weights.shape) == shape:
        return weights
    padded = torch.zeros(shape, dtype=weights.dtype)
    padded[tuple(slice(size) for size in weights.shape)] = weights
    return padded
