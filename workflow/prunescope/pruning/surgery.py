"""Cutting weights by a plan, and the masked model that the result must equal."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.models.adapter import Block, ModelAdapter


def cut_weights(
    adapter: ModelAdapter, plan: PruningPlan, read: Callable[[str], Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the weights of every parameter that stays, sliced and renumbered.

    Args:
        adapter: of the unpruned model; it may be a skeleton without weights.
        plan: what goes.
        read: returns a parameter of the unpruned model by name; each is read once, so that only the
            pruned weights need memory.
    """
    roles = _roles(adapter, plan)
    new_index = {layer: index for index, layer in enumerate(plan.kept_layers)}
    for name in adapter.parameters:
        grouped, block_plan = roles.get(name, (None, None))
        if block_plan is not None and block_plan.whole:
            continue
        weights = read(name)
        if grouped is not None and len(block_plan.removed):
            weights = grouped.select(weights, torch.from_numpy(block_plan.kept))
        yield _renumber(adapter, name, new_index), weights


def _roles(adapter: ModelAdapter, plan: PruningPlan) -> dict[str, tuple]:
    """Map each parameter of a block to (its division among groups or None, the block's plan)."""
    roles: dict[str, tuple] = {}
    for block in adapter.blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        roles |= dict.fromkeys(block.whole, (None, block_plan))
        roles |= {grouped.name: (grouped, block_plan) for grouped in block.weights}
    return roles


def _renumber(adapter: ModelAdapter, name: str, new_index: dict[int, int]) -> str:
    for old, new in new_index.items():
        prefix = adapter.layer_prefix(old)
        if name.startswith(prefix):
            return adapter.layer_prefix(new) + name.removeprefix(prefix)
    return name


@torch.no_grad()
def mask_model(model: nn.Module, adapter: ModelAdapter, plan: PruningPlan) -> None:
    """Zero, in place, what a plan removes: the reference that the pruned model must equal.

    Zeroing the removed columns of the output projection (and, for a whole block, its output bias)
    makes the groups contribute nothing; the shapes stay.
    """
    for block in adapter.blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        _mask_block(adapter, block, block_plan)


def _mask_block(adapter: ModelAdapter, block: Block, block_plan: BlockPlan) -> None:
    removed = torch.from_numpy(block_plan.removed)
    for grouped in block.weights:
        if grouped.dim == 1:
            weights = adapter.parameters[grouped.name]
            weights.view(weights.shape[0], -1, grouped.width)[:, removed.to(weights.device)] = 0
    if block_plan.whole:
        for name in block.whole:
            adapter.parameters[name].zero_()
