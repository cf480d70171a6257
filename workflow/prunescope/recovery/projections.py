"""The output projections of all layers (o and down), trained as they are, in float32."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.models.adapter import adapter_for


class Projections:
    """The weights of the output projections of a frozen model, float32 or better; the model is changed in place.

    It computes in its own dtype. Biases stay as they are.

    Attributes:
        weights: the trained weights by name.
    """

    def __init__(self, model: nn.Module, read: Callable[[str], Tensor]) -> None:
        """Take the weights as `read` returns them by name: as they are stored, not as the model rounds them."""
        adapter = adapter_for(model)
        self.weights: dict[str, nn.Parameter] = {}
        for block in adapter.blocks:
            projection = adapter.output_projection(block.facts.layer, block.facts.block)
            (name,) = (grouped.name for grouped in block.weights if grouped.dim == 1)
            stored = read(name)
            wide = stored.to(device=projection.weight.device, dtype=torch.promote_types(stored.dtype, torch.float32))
            self.weights[name] = projection.weight = nn.Parameter(wide.clone())
            projection.forward = partial(_project, projection)
        self.parameters = list(self.weights.values())

    @torch.no_grad()
    def merged(self, name: str, weights: Tensor) -> Tensor:
        """Return the trained weights, rounded once; see `Trained`."""
        return self.weights[name].cpu().to(weights.dtype) if name in self.weights else weights


def _project(projection: nn.Linear, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, projection.weight.to(inputs.dtype), projection.bias)
