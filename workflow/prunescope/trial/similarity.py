"""The similarity prior: how far each block and each layer turns the residual stream, from one dense pass."""

import torch
from torch import Tensor

from prunescope.importance.activations import distance_sum
from prunescope.models.adapter import ModelAdapter
from prunescope.trial.blocks import PARTS, BlockImportance, check_finite
from prunescope.trial.interventions import measure

WINDOWS = 16
"""Whose streams are compared at a time."""


class Distances:
    """Sums of 1 - cos of the residual stream around each block and each layer."""

    def __init__(self, layers: int, device: torch.device) -> None:
        self.sums = {part: torch.zeros(layers, dtype=torch.float64, device=device) for part in PARTS}

    def note(self, layer: int, before: Tensor, between: Tensor, after: Tensor) -> None:
        """Add the tokens of a batch: their stream before a layer, between its two blocks, and after it."""
        # Where layers are read as they run, the streams are those of all windows, and too many to widen at once.
        for one, two, three in zip(*(stream.split(WINDOWS) for stream in (before, between, after)), strict=True):
            for part, ends in {"attention": (one, two), "mlp": (two, three), "layer": (one, three)}.items():
                sums = self.sums[part]
                sums[layer] += distance_sum(*ends).to(sums.device)

    def result(self, dense: float, tokens: int) -> BlockImportance:
        """Return the means over all tokens.

        Raises:
            NonFiniteError: the residual stream was NaN or infinite; names the layer.
        """
        means = {part: (values / tokens).cpu() for part, values in self.sums.items()}
        check_finite(means, "the residual stream at the {part} of layer {layer}")
        return BlockImportance(**means, dense=dense, tokens=tokens)


@torch.no_grad()
def measure_similarity(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> BlockImportance:
    """Measure 1 - E_t cos of the residual stream before and after each attention block, MLP block and layer.

    The value of a layer is its block influence (ShortGPT: Men et al. 2024, eq. 1).

    Args:
        windows: int ``[n, tokens]``. batch_size: windows that a layer takes at a time; does not change the result.

    Raises:
        NonFiniteError: the residual stream is NaN or infinite.
    """
    distances = Distances(len(adapter.layers), adapter.device)
    found = measure(adapter, windows, [], batch_size, divergence=False, watch=distances.note)
    return distances.result(found.loss.mean().item(), windows.numel())
