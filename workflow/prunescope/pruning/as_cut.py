"""What a pruned checkpoint computes, by the unpruned model.

Blocks that are gone add nothing; the output projections of the others read what stays, with fitted weights if any.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.artifacts.facts import BlockKind
from prunescope.models.adapter import ModelAdapter, running

if TYPE_CHECKING:  # it needs pydantic, which computing must do without
    from prunescope.artifacts.plan import BlockPlan, PruningPlan


@contextmanager
def as_cut(adapter: ModelAdapter, plan: "PruningPlan", weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block, a model computes what it will compute when it is cut; `weights`: fitted ones, by name."""
    names = output_weights(adapter)
    with ExitStack() as stack:
        for block in plan.blocks:
            place = block.facts.layer, block.facts.block
            if block.whole:
                stack.enter_context(adapter.silenced(*place))
            elif len(block.removed):
                stack.enter_context(block_as_cut(adapter, block, weights.get(names[place])))
        yield


@contextmanager
def block_as_cut(adapter: ModelAdapter, block: "BlockPlan", fitted: Tensor | None) -> Iterator[None]:
    """Within the block, an output projection reads what stays; `fitted`: its weights, None for the plain cut."""
    projection = adapter.output_projection(block.facts.layer, block.facts.block)
    kept = kept_inputs(adapter, block)

    def project(inputs: Tensor) -> Tensor:
        return projected(projection, kept, fitted, inputs[..., kept.to(inputs.device)])

    with running(projection, project):
        yield


def projected(projection: nn.Linear, kept: Tensor, fitted: Tensor | None, inputs: Tensor) -> Tensor:
    """Compute what an output projection computes in the checkpoint, of the inputs that are kept alone."""
    weight = projection.weight[:, kept] if fitted is None else fitted.to(inputs)
    return functional.linear(inputs, weight, projection.bias)


def kept_inputs(adapter: ModelAdapter, block: "BlockPlan") -> Tensor:
    """Return which inputs of an output projection stay, ascending int64 indices, on the device that it is on."""
    projection = adapter.output_projection(block.facts.layer, block.facts.block)
    width = projection.in_features // block.facts.groups
    kept = torch.from_numpy(block.kept)[:, None] * width + torch.arange(width)
    return kept.flatten().to(projection.weight.device)


def output_weights(adapter: ModelAdapter) -> dict[tuple[int, BlockKind], str]:
    """Return the names of the weights of all output projections."""
    return {
        (block.facts.layer, block.facts.block): next(one.name for one in block.weights if one.dim == 1)
        for block in adapter.blocks
    }
