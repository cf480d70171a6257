"""Selection: the groups of lowest score, until the budget is spent, within the limits.

Groups go in *units*, units in *lanes* (see `limits`). Within a lane units hold groups in ascending order of score, so
that any prefix of them is a valid cut, every width stays a multiple, and one global sort over units decides everything.
The budget counts what a cut really removes: the last unit of a block takes the block's norm and output bias along.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.config.sections import Limits
from prunescope.criteria import RemovalUnit
from prunescope.importance.limits import Lane, budget_of, feasible_lanes, rounding_unit
from prunescope.importance.table import ascending
from prunescope.importance.uniform import UniformCuts, summed_losses


@dataclass(frozen=True)
class Selection:
    """What goes, what was asked for, and what the limits did.

    Attributes:
        plan: the groups to remove.
        ratio, limits: as asked for.
        rounding_unit: parameters of the smallest full unit.
        bound: config path of a limit -> names of the blocks in which it decided against the score.
        collapsed: names of the blocks that went whole because too little of them would have stayed.
    """

    plan: PruningPlan
    ratio: float
    limits: Limits
    rounding_unit: int
    bound: dict[str, list[str]] = field(default_factory=dict)
    collapsed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Units:
    """Removable units of all lanes, one entry each; arrays are parallel, lanes in model order.

    `lane` indexes the lanes, `cost` counts parameters, `score` is the mean of its groups by cost; `forced`
    units must go, only `allowed` ones may. `order`: the allowed ones, ascending score.
    """

    lane: np.ndarray
    cost: np.ndarray
    score: np.ndarray
    forced: np.ndarray
    allowed: np.ndarray
    order: np.ndarray


def select(
    table: pd.DataFrame, facts: ModelFacts, ratio: float, limits: Limits, unit: RemovalUnit = "group"
) -> Selection:
    """Choose the units of lowest score until ``ratio * total parameters`` are gone.

    Args:
        table: from `build_table`, in block order.
        ratio: fraction of all parameters of the model.
        unit: what goes together; `Criterion.unit`.

    Raises:
        ConfigError: limits contradict one another, the criterion or the model.
        BudgetError: the limits leave too little or force too much; says the ratio that can be reached and why.
    """
    if limits.widths == "uniform":
        return _select_uniform(table, UniformCuts(facts, ratio, limits, unit))
    lanes = feasible_lanes(facts, ratio, limits, unit)
    budget = budget_of(facts, ratio)
    orders = ascending(table, [lane.groups for lane in lanes])
    units = _build_units(table, lanes, orders)
    chosen, collapsed = _spend(units, lanes, budget, limits.collapse_below or 0.0)
    removed = np.zeros(len(table), dtype=bool)
    for lane, (start, order), count in zip(lanes, orders, _count(units, chosen, lanes), strict=True):
        if count:
            removed[start + order[: lane.ends[count - 1]]] = True
    return Selection(
        _plan(facts, removed),
        ratio,
        limits,
        rounding_unit(lanes),
        _bound(units, chosen, lanes, collapsed),
        [name for index in collapsed for name in lanes[index].names],
    )


def mark_removed(table: pd.DataFrame, plan: PruningPlan) -> pd.DataFrame:
    """Return the table with `removed` set by a plan over the same blocks."""
    removed = np.zeros(len(table), dtype=bool)
    start = 0
    for block in plan.blocks:
        removed[start + block.removed] = True
        start += block.facts.groups
    return table.assign(removed=removed)


def _select_uniform(table: pd.DataFrame, cuts: UniformCuts) -> Selection:
    """Choose how many groups go from every block of a kind; of each block go those of lowest score."""
    blocks = cuts.facts.blocks
    orders = ascending(table, [block.groups for block in blocks])
    choice = cuts.choose(summed_losses(blocks, table["score"].to_numpy(), orders))
    removed = np.zeros(len(table), dtype=bool)
    for block, (start, order) in zip(blocks, orders, strict=True):
        removed[start + order[: choice.pair[KINDS.index(block.block)]]] = True
    return Selection(_plan(cuts.facts, removed), cuts.ratio, cuts.limits, choice.rounding_unit, choice.bound)


def _plan(facts: ModelFacts, removed: np.ndarray) -> PruningPlan:
    ends = np.cumsum([block.groups for block in facts.blocks])
    parts = zip(facts.blocks, np.split(removed, ends[:-1]), strict=True)
    return PruningPlan(facts.name, tuple(BlockPlan(block, np.flatnonzero(part)) for block, part in parts))


def _build_units(table: pd.DataFrame, lanes: list[Lane], orders: list[tuple[int, np.ndarray]]) -> _Units:
    all_scores, all_costs = table["score"].to_numpy(), table["cost"].to_numpy()
    columns = []
    for index, (lane, (start, order)) in enumerate(zip(lanes, orders, strict=True)):
        ends = np.array(lane.ends)
        starts = np.append(0, ends[:-1])
        score, cost = all_scores[start + order], all_costs[start + order]
        costs = np.add.reduceat(cost, starts)
        weights = cost / np.repeat(costs, ends - starts)
        # Equal scores may differ in the last bit of their means; a lane must stay in order.
        means = np.maximum.accumulate(np.add.reduceat(score * weights, starts))
        costs[-1] += sum(block.overhead for block in lane.blocks)
        place = np.arange(len(ends))
        columns.append((np.full(len(ends), index), costs, means, place < lane.least, place < lane.most))
    of_lane, cost, score, forced, allowed = (np.concatenate(column) for column in zip(*columns, strict=True))
    candidates = np.flatnonzero(allowed)
    order = candidates[np.argsort(score[candidates], kind="stable")]
    return _Units(of_lane, cost, score, forced, allowed, order)


def _count(units: _Units, chosen: np.ndarray, lanes: list[Lane]) -> np.ndarray:
    """Return how many units of each lane are chosen."""
    return np.bincount(units.lane[chosen], minlength=len(lanes))


def _spend(units: _Units, lanes: list[Lane], budget: int, collapse_below: float) -> tuple[np.ndarray, list[int]]:
    """Fill the budget; then remove lanes of which too little stays, one by one, each paid for by the others.

    The thinnest lane goes first, and what it costs is taken back from the units of highest score that
    nothing forces, after which other lanes may be thin no longer. A lane that a limit keeps from going
    whole never collapses, nor does one that the budget cannot pay beside what is forced: it stays thin.

    Returns:
        indices of the chosen units, and of the collapsed lanes in model order.
    """
    forced = units.forced
    collapsed: list[int] = []
    while True:
        chosen = _fill(units, forced, budget)
        thin = _thinnest(units, lanes, forced, budget, _count(units, chosen, lanes), collapse_below)
        if thin is None:
            return chosen, sorted(collapsed)
        collapsed.append(thin)
        forced = forced | (units.lane == thin)


def _thinnest(
    units: _Units, lanes: list[Lane], forced: np.ndarray, budget: int, counts: np.ndarray, below: float
) -> int | None:
    """Return the lane that keeps the smallest fraction, under `below` but not 0, and can be paid whole."""
    kept = np.array(
        [1 - (lane.ends[count - 1] if count else 0) / lane.groups for lane, count in zip(lanes, counts, strict=True)]
    )
    unpaid = np.bincount(units.lane[~forced], weights=units.cost[~forced], minlength=len(lanes))
    payable = unpaid <= budget - units.cost[forced].sum()
    free = np.array([lane.free for lane in lanes])
    thin = np.flatnonzero((kept > 0) & (kept < below - 1e-9) & payable & free)
    return int(thin[np.argmin(kept[thin])]) if len(thin) else None


def _fill(units: _Units, forced: np.ndarray, budget: int) -> np.ndarray:
    """Return the indices of units to remove: forced ones, then ascending score while they fit, then smaller ones.

    A unit that does not fit ends its lane, because a lane is cut from its lowest score up; what is left
    at the end is less than the smallest unit that is still free.
    """
    first = forced[units.order]
    order = np.concatenate([units.order[first], units.order[~first]])
    spent = np.cumsum(units.cost[order])
    fitting = int(np.searchsorted(spent, budget, side="right"))
    chosen, left = order[:fitting].tolist(), budget - (int(spent[fitting - 1]) if fitting else 0)
    rest = order[fitting:]
    smallest = int(units.cost[rest].min(initial=budget + 1))
    closed: set[int] = set()
    for unit in rest:
        if left < smallest:
            break
        if units.cost[unit] <= left and units.lane[unit] not in closed:
            chosen.append(int(unit))
            left -= int(units.cost[unit])
        else:
            closed.add(int(units.lane[unit]))
    return np.array(chosen, dtype=np.int64)


def _bound(units: _Units, chosen: np.ndarray, lanes: list[Lane], collapsed: list[int]) -> dict[str, list[str]]:
    """Find the blocks whose next unit a limit kept, and those of which a minimum took more than the score."""
    by_score = chosen[~units.forced[chosen] & ~np.isin(units.lane[chosen], collapsed)]
    cut = units.score[by_score].max(initial=-np.inf)
    bound: dict[str, list[str]] = {}
    for index in np.unique(units.lane[~units.allowed & (units.score <= cut)]):
        bound.setdefault(lanes[index].limit, []).extend(lanes[index].names)
    for index in np.unique(units.lane[units.forced & (units.score > cut)]):
        bound.setdefault(lanes[index].minimum, []).extend(lanes[index].names)
    return bound
