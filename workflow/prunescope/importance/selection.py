"""Selection: the groups of lowest score, until the budget is spent, within the limits.

Groups are removed in *units*: an attention unit is one GQA group, an MLP unit is `width_multiple`
channels (the first unit of a block is smaller where its width is no multiple). Within a block units
hold groups in ascending order of score, so that any prefix of them is a valid cut, every width stays a
multiple, and one global sort over units decides everything.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from prunescope.config.sections import Limits
from prunescope.errors import BudgetError, ConfigError
from prunescope.importance.limits import Cap, block_cap
from prunescope.models.facts import BlockFacts, ModelFacts
from prunescope.pruning.plan import BlockPlan, PruningPlan


@dataclass(frozen=True)
class Selection:
    """What goes, and what the limits did.

    Attributes:
        plan: the groups to remove.
        budget: parameters that should go. rounding_unit: parameters of the smallest full unit.
        bound: config path of a limit -> names of the blocks that it stopped.
    """

    plan: PruningPlan
    budget: int
    rounding_unit: int
    bound: dict[str, list[str]]


@dataclass(frozen=True)
class _Units:
    """Removable units of all blocks, one entry each; arrays are parallel, blocks in model order.

    `block` indexes the model's blocks, `size` counts groups, `cost` parameters, `score` is the mean of
    its groups, `allowed` says whether the block's cap leaves room for it.
    """

    block: np.ndarray
    size: np.ndarray
    cost: np.ndarray
    score: np.ndarray
    allowed: np.ndarray


def select(table: pd.DataFrame, facts: ModelFacts, ratio: float, limits: Limits) -> Selection:
    """Choose the groups of lowest score until ``ratio * total parameters`` are gone.

    Args:
        table: from `build_table`, in block order.
        ratio: fraction of all parameters of the model.

    Raises:
        ConfigError: `protect` names a layer that is not there.
        BudgetError: the limits leave too little; says the largest reachable ratio and which limits bind.
    """
    _check_protect(facts, limits)
    caps = [block_cap(block, facts.layers, limits) for block in facts.blocks]
    scores = _split_by_block(table, facts)
    orders = [np.argsort(score, kind="stable") for score in scores]
    units = _build_units(facts, scores, orders, caps, limits.width_multiple)
    budget = round(ratio * facts.total_parameters)
    _check_reachable(facts, units, caps, budget, ratio)
    chosen = _fill(units, budget)
    counts = np.bincount(units.block[chosen], weights=units.size[chosen], minlength=len(facts.blocks))
    plan = PruningPlan(
        facts.name,
        tuple(
            BlockPlan(block, np.sort(order[: int(count)]).astype(np.int64))
            for block, order, count in zip(facts.blocks, orders, counts, strict=True)
        ),
    )
    return Selection(plan, budget, rounding_unit(facts, limits.width_multiple), _bound(facts, units, chosen, caps))


def rounding_unit(facts: ModelFacts, multiple: int) -> int:
    """Return the parameters of the smallest full unit: what the budget may miss at most while one is free."""
    return min(block.cost * (multiple if _in_multiples(block, multiple) else 1) for block in facts.blocks)


def mark_removed(table: pd.DataFrame, plan: PruningPlan) -> pd.DataFrame:
    """Return the table with `removed` set by a plan over the same blocks."""
    removed = np.zeros(len(table), dtype=bool)
    start = 0
    for block in plan.blocks:
        removed[start + block.removed] = True
        start += block.facts.groups
    return table.assign(removed=removed)


def _check_protect(facts: ModelFacts, limits: Limits) -> None:
    for layer in limits.protect:
        if not -facts.layers <= layer < facts.layers:
            raise ConfigError(
                f"limits.protect: layer {layer} does not exist; allowed: {-facts.layers} to {facts.layers - 1}"
            )


def _split_by_block(table: pd.DataFrame, facts: ModelFacts) -> list[np.ndarray]:
    ends = np.cumsum([block.groups for block in facts.blocks])
    return np.split(table["score"].to_numpy(), ends[:-1])


def _build_units(
    facts: ModelFacts, scores: list[np.ndarray], orders: list[np.ndarray], caps: list[Cap], multiple: int
) -> _Units:
    columns = []
    for index, (block, score, order, cap) in enumerate(zip(facts.blocks, scores, orders, caps, strict=True)):
        starts = _unit_starts(block, multiple)
        sizes = np.diff(np.append(starts, block.groups))
        # Equal scores may differ in the last bit of their means; a block must stay in order.
        means = np.maximum.accumulate(np.add.reduceat(score[order], starts) / sizes)
        columns.append((np.full(len(starts), index), sizes, sizes * block.cost, means, starts + sizes <= cap.groups))
    return _Units(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _in_multiples(block: BlockFacts, multiple: int) -> bool:
    return block.block == "mlp" and block.groups >= multiple


def _unit_starts(block: BlockFacts, multiple: int) -> np.ndarray:
    """Return where each unit of a block starts in its ascending order."""
    if not _in_multiples(block, multiple):
        return np.arange(block.groups)
    odd = block.groups % multiple
    starts = np.arange(odd, block.groups, multiple)
    return np.append(0, starts) if odd else starts


def _check_reachable(facts: ModelFacts, units: _Units, caps: list[Cap], budget: int, ratio: float) -> None:
    reachable = int(units.cost[units.allowed].sum())
    if budget <= reachable:
        return
    largest = reachable / facts.total_parameters
    limits = sorted({cap.limit for cap in caps if cap.limit})
    why = f"under {' and '.join(limits)}" if limits else "because embeddings, norms and head are not pruned"
    raise BudgetError(
        f"method.ratio = {ratio:g} cannot be reached {why}: at most {largest:.4f} of all parameters can go; "
        + ("lower the ratio or relax the limit" if limits else "lower the ratio")
    )


def _fill(units: _Units, budget: int) -> np.ndarray:
    """Return the indices of units to remove: ascending score while they fit, then smaller ones that still fit.

    A unit that does not fit ends its block, because a block is cut from its lowest score up; what is
    left at the end is less than the smallest unit that is still free.
    """
    candidates = np.flatnonzero(units.allowed)
    order = candidates[np.argsort(units.score[candidates], kind="stable")]
    spent = np.cumsum(units.cost[order])
    fitting = int(np.searchsorted(spent, budget, side="right"))
    chosen, left = order[:fitting].tolist(), budget - (int(spent[fitting - 1]) if fitting else 0)
    closed: set[int] = set()
    smallest = int(units.cost[candidates].min()) if len(candidates) else 0
    for unit in order[fitting:]:
        if left < smallest:
            break
        if units.cost[unit] <= left and units.block[unit] not in closed:
            chosen.append(int(unit))
            left -= int(units.cost[unit])
        else:
            closed.add(int(units.block[unit]))
    return np.array(chosen, dtype=np.int64)


def _bound(facts: ModelFacts, units: _Units, chosen: np.ndarray, caps: list[Cap]) -> dict[str, list[str]]:
    """Find the blocks whose next unit would have gone, had a limit not stopped it."""
    if len(chosen) == 0:
        return {}
    cut = units.score[chosen].max()
    stopped = np.unique(units.block[~units.allowed & (units.score <= cut)])
    bound: dict[str, list[str]] = {}
    for index in stopped:
        block = facts.blocks[index]
        bound.setdefault(caps[index].limit, []).append(f"{block.layer}.{block.block}")
    return bound
