"""The removal prior: how much the loss rises when a block contributes nothing.

Attention, MLP and both of each of L layers: 3L interventions. A window passes L + 3L (L - 1) / 2 layers for them, and L
MLPs more: half of 3L + 1 full passes. The head runs 3L + 1 times all the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.artifacts.facts import KINDS
from prunescope.models.adapter import ModelAdapter
from prunescope.trial.blocks import PARTS, BlockImportance, Sums, check_finite
from prunescope.trial.interventions import Intervention
from prunescope.trial.similarity import loss_sums, mean_distances

REMOVED = {"attention": ("attention",), "mlp": ("mlp",), "layer": KINDS}
"""The blocks that are silent without a part."""


@dataclass(frozen=True)
class RemovalLosses(BlockImportance):
    """The loss increases and, from the same pass, the similarity prior."""

    similarity: BlockImportance


def measure_removal(adapter: ModelAdapter, windows: Tensor, batch_size: int, held: int | None = None) -> RemovalLosses:
    """Measure the loss increase of removing each attention block, MLP block and layer.

    A removed block adds zero to the residual stream (returning its normalised input instead would add
    that to the residual).

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        batch_size: windows that a layer takes at a time.
        held: see `interventions.measure`. Neither size changes the result.

    Raises:
        NonFiniteError: a loss is NaN or infinite; names the layer.
    """
    return loss_increases(removal_sums(adapter, windows, batch_size, held))


def removal_sums(adapter: ModelAdapter, windows: Tensor, batch_size: int, held: int | None = None) -> Sums:
    """Return what `loss_increases` takes; arguments as of `measure_removal`."""
    there = {block.name for block in adapter.blocks}
    layers = range(len(adapter.layers))
    silent = {f"{layer}.{part}": [f"{layer}.{kind}" for kind in REMOVED[part]] for layer in layers for part in PARTS}
    interventions = [
        Intervention(name, {block: None for block in blocks if block in there}) for name, blocks in silent.items()
    ]
    return loss_sums(adapter, windows, interventions, batch_size, held)


def loss_increases(sums: Sums) -> RemovalLosses:
    """Return what each block and layer is worth.

    Args:
        sums: of `loss_sums`, the interventions in the order of layers and `PARTS`.

    Raises:
        NonFiniteError: a loss is NaN or infinite; names the layer.
    """
    dense, *without = (sums["loss"] / sums["windows"]).tolist()
    rises = (torch.tensor(without, dtype=torch.float64) - dense).view(-1, len(PARTS))
    similarity = mean_distances(sums)
    values = dict(zip(PARTS, rises.T, strict=True))
    check_finite(values, "the loss without the {part} of layer {layer}")
    return RemovalLosses(**values, dense=dense, tokens=similarity.tokens, similarity=similarity)
