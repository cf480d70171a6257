"""Cutting weights by a plan, and the masked model that the result must equal."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from prunescope.artifacts.plan import PruningPlan
from prunescope.models.adapter import GroupedWeight, ModelAdapter

Fitted = Mapping[str, Tensor]
"""What the refit put in place of kept columns of output projections, ``[d, kept]``, by the names in the parent."""

NOTHING: Fitted = {}


def cut_weights(
    adapter: ModelAdapter, plan: PruningPlan, read: Callable[[str], Tensor], fitted: Fitted = NOTHING
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the weights of every parameter that stays, sliced and renumbered.

    Args:
        adapter: of the unpruned model; it may be a skeleton without weights.
        plan: what goes.
        read: returns a parameter of the unpruned model by name; each is read once, so that only the
            pruned weights need memory.
        fitted: what is written instead of the kept columns of a parameter.
    """
    gone: set[str] = set()
    sliced: dict[str, tuple[GroupedWeight, Tensor]] = {}
    for block in adapter.blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        if block_plan.whole:
            gone |= {*block.whole, *(grouped.name for grouped in block.weights)}
        elif len(block_plan.removed):
            sliced |= {grouped.name: (grouped, torch.from_numpy(block_plan.kept)) for grouped in block.weights}
    prefixes = {adapter.layer_prefix(old): adapter.layer_prefix(new) for new, old in enumerate(plan.kept_layers)}
    for name in adapter.parameters:
        if name in gone:
            continue
        if name in fitted:
            weights = fitted[name]
        elif name in sliced:
            grouped, kept = sliced[name]
            weights = grouped.select(read(name), kept)
        else:
            weights = read(name)
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        yield prefixes.get(prefix, "") + name.removeprefix(prefix), weights


def mask_weights(
    adapter: ModelAdapter, plan: PruningPlan, read: Callable[[str], Tensor], fitted: Fitted = NOTHING
) -> Callable[[str], Tensor]:
    """Return what reads a parameter of the unpruned model by name with zeros for what the plan removes.

    That makes the reference that the pruned model must equal. The removed columns of the output projection are zeroed
    (and, of a whole block, all of its parameters), so that the groups contribute nothing; the shapes stay. Where the
    kept columns were `fitted`, the fit is there.
    """
    gone: set[str] = set()
    silenced: dict[str, tuple[GroupedWeight, Tensor]] = {}
    for block in adapter.blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        if block_plan.whole:
            gone |= set(block.whole)
        removed = torch.from_numpy(block_plan.removed)
        silenced |= {grouped.name: (grouped, removed) for grouped in block.weights if grouped.dim == 1}

    def masked(name: str) -> Tensor:
        weights = read(name)
        if name in gone:
            return torch.zeros_like(weights)
        if name not in silenced or not len(silenced[name][1]):
            return weights
        grouped, removed = silenced[name]
        weights = weights.clone()
        columns = weights.view(weights.shape[0], -1, grouped.width)
        columns[:, removed.to(weights.device)] = 0
        if name in fitted:
            kept = torch.ones(columns.shape[1], dtype=torch.bool)
            kept[removed] = False
            columns[:, kept] = fitted[name].view(len(weights), -1, grouped.width).to(columns)
        return weights

    return masked
