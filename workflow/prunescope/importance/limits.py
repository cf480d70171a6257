"""Limits on selection: what may go, in which steps, and how much of it.

What is cut from its lowest score up is a *lane*: one block or, where whole layers go, one layer. A lane goes in
*units*: one GQA group, `width_multiple` channels (the first unit of a block is smaller where its width is no multiple),
or the layer. Pure arithmetic, so that a ratio out of reach is found before any model is loaded.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from prunescope.artifacts.facts import KINDS, BlockFacts, BlockKind, ModelFacts
from prunescope.config.sections import Limits
from prunescope.criteria import OF_WHOLE_LAYERS, RemovalUnit
from prunescope.errors import BudgetError, ConfigError


@dataclass(frozen=True)
class Lane:
    """Blocks that are cut as one sequence of units, neighbours in the importance table.

    Attributes:
        blocks: one block, or all blocks of a layer.
        ends: how many of the lane's groups are gone after each unit; the last is all of them.
        least, most: how many units must go and how many may.
        limit: config path of the limit behind `most`; None where there is none. minimum: of that behind `least`.
    """

    blocks: tuple[BlockFacts, ...]
    ends: Sequence[int]
    least: int
    most: int
    limit: str | None
    minimum: str | None = None

    @property
    def groups(self) -> int:
        return self.ends[-1]

    @property
    def free(self) -> bool:
        """Whether all of it may go."""
        return self.most == len(self.ends)

    @property
    def names(self) -> list[str]:
        """Names of the blocks, ``"{layer}.{kind}"``."""
        return [f"{block.layer}.{block.block}" for block in self.blocks]

    @property
    def unit_parameters(self) -> int:
        """Parameters of a full unit."""
        if len(self.ends) == 1:
            return self.parameters(1)
        return (self.ends[-1] - self.ends[-2]) * self.blocks[0].cost

    def parameters(self, units: int) -> int:
        """Return the parameters that the first `units` hold, norm and output bias included when all of them go."""
        if units == len(self.ends):
            return sum(block.parameters + block.overhead for block in self.blocks)
        return self.ends[units - 1] * self.blocks[0].cost if units else 0


def feasible_lanes(facts: ModelFacts, ratio: float, limits: Limits, unit: RemovalUnit) -> list[Lane]:
    """Return the lanes of a model, on which ``ratio * total parameters`` can be spent.

    Raises:
        ConfigError: limits contradict one another or the criterion.
        BudgetError: the limits leave too little, force too much, or no whole layer fits the ratio.
    """
    lanes = lanes_of(facts.blocks, limits, unit)
    budget, smallest = budget_of(facts, ratio), rounding_unit(lanes)
    least, most = sum(lane.parameters(lane.least) for lane in lanes), most_parameters(lanes)
    check_budget(facts, ratio, limits, (least, most), {lane.limit for lane in lanes if lane.limit})
    if unit == "layer" and budget < smallest:
        raise BudgetError(
            f"method.ratio = {ratio:g} removes nothing: method.criterion = {' or '.join(OF_WHOLE_LAYERS)} removes "
            f"whole layers, and one has {smallest / facts.total_parameters:.4f} of all parameters; raise the ratio or "
            "change the criterion"
        )
    return lanes


def check_budget(facts: ModelFacts, ratio: float, limits: Limits, bounds: tuple[int, int], names: set[str]) -> None:
    """Check that the budget lies between what must go and what may.

    Args:
        bounds: both, in parameters. names: config paths of the limits behind the second.

    Raises:
        BudgetError: it does not.
    """
    budget, (least, most) = budget_of(facts, ratio), bounds
    if budget > most:
        why = f"under {' and '.join(sorted(names))}" if names else "because embeddings, norms and head are not pruned"
        raise BudgetError(
            f"method.ratio = {ratio:g} cannot be reached {why}: at most {most / facts.total_parameters:.4f} of all "
            f"parameters can go; lower the ratio{' or relax the limit' if names else ''}"
        )
    if budget < least:
        minima = sorted({path for kind in KINDS for path, _ in _rates(limits, "min_rate", kind)})
        raise BudgetError(
            f"method.ratio = {ratio:g} is too low: {' and '.join(minima)} takes at least "
            f"{least / facts.total_parameters:.4f} of all parameters; raise the ratio or lower the minimum"
        )


def budget_of(facts: ModelFacts, ratio: float) -> int:
    """Return how many parameters should go."""
    return round(ratio * facts.total_parameters)


def rounding_unit(lanes: list[Lane]) -> int:
    """Return the parameters of the smallest full unit: what the budget may miss at most while one is free."""
    return min(lane.unit_parameters for lane in lanes)


def most_parameters(lanes: list[Lane]) -> int:
    """Return how many parameters the limits leave to selection."""
    return sum(lane.parameters(lane.most) for lane in lanes)


def lanes_of(blocks: tuple[BlockFacts, ...], limits: Limits, unit: RemovalUnit) -> list[Lane]:
    """Return the lanes of all blocks of a model, in their order.

    Raises:
        ConfigError: a limit names a layer that is not there, contradicts another or the removal of whole layers.
    """
    layers = blocks[-1].layer + 1
    _check_protect(layers, limits)
    if unit == "layer":
        _check_whole_layers(limits)
        whole = [tuple(of_layer) for _, of_layer in groupby(blocks, key=lambda block: block.layer)]
        return [_layer_lane(of_layer, layers, limits) for of_layer in whole]
    _check_rates(limits)
    return [_block_lane(block, layers, limits) for block in blocks]


def _layer_lane(blocks: tuple[BlockFacts, ...], layers: int, limits: Limits) -> Lane:
    # Only `protect` can limit here; `collapse_below` and `width_multiple` have nothing to do.
    _, limit = block_cap(blocks[0], layers, limits)
    return Lane(blocks, (sum(block.groups for block in blocks),), least=0, most=0 if limit else 1, limit=limit)


def _block_lane(block: BlockFacts, layers: int, limits: Limits) -> Lane:
    ends = unit_ends(block, limits.width_multiple)
    (cap, limit), (wanted, minimum) = block_cap(block, layers, limits), block_minimum(block, limits)
    most = bisect_right(ends, cap)
    least = bisect_left(ends, wanted) + 1 if wanted else 0
    return Lane((block,), ends, min(least, most), most, limit, minimum)


def unit_ends(block: BlockFacts, multiple: int) -> range:
    """Return how many groups of a block are gone after each unit: all but the first unit are full."""
    step = multiple if block.block == "mlp" and block.groups >= multiple else 1
    return range(block.groups % step or step, block.groups + 1, step)


def block_cap(block: BlockFacts, layers: int, limits: Limits) -> tuple[int, str | None]:
    """Return the groups that may go and the config path of the limit that says so; None: only the block's size does.

    Args:
        layers: number of layers, to resolve negative indices in `protect`.
    """
    rates = dict(_rates(limits, "max_rate", block.block))
    if limits.early_layers is not None and block.layer < limits.early_layers.count:
        rates["limits.early_layers"] = limits.early_layers.max_rate
    caps: list[tuple[int, str | None]] = [(block.groups, None)]
    # 0.3 * 10 is 3.0000000000000004 and 0.29 * 100 is 28.999999999999996 in binary.
    caps += [(math.floor(rate * block.groups + 1e-9), path) for path, rate in rates.items()]
    if block.layer in {index % layers for index in limits.protect}:
        caps.append((0, "limits.protect"))
    return min(caps, key=lambda cap: cap[0])


def block_minimum(block: BlockFacts, limits: Limits) -> tuple[int, str | None]:
    """Return the groups that must go and the config path of the limit that says so.

    `early_layers` and `protect` are exceptions and win over it.
    """
    path, rate = max(_rates(limits, "min_rate", block.block), key=lambda found: found[1], default=(None, 0.0))
    return math.ceil(rate * block.groups - 1e-9), path


def _rates(limits: Limits, name: Literal["min_rate", "max_rate"], kind: BlockKind) -> Iterator[tuple[str, float]]:
    """Yield the config paths and values of the rate limits that hold for a kind of block."""
    for path, section in (("limits", limits), (f"limits.{kind}", getattr(limits, kind))):
        rate = getattr(section, name)
        if rate is not None:
            yield f"{path}.{name}", rate


def _check_protect(layers: int, limits: Limits) -> None:
    for layer in limits.protect:
        if not -layers <= layer < layers:
            raise ConfigError(f"limits.protect: layer {layer} does not exist; allowed: {-layers} to {layers - 1}")


def _check_rates(limits: Limits) -> None:
    for kind in KINDS:
        for low, least in _rates(limits, "min_rate", kind):
            for high, most in _rates(limits, "max_rate", kind):
                if least > most:
                    raise ConfigError(f"{low} = {least:g} is above {high} = {most:g}; lower the one or raise the other")


def _check_whole_layers(limits: Limits) -> None:
    lowest = {path: rate for kind in KINDS for path, rate in _rates(limits, "min_rate", kind) if rate > 0}
    highest = {path: rate for kind in KINDS for path, rate in _rates(limits, "max_rate", kind) if rate < 1}
    if limits.early_layers is not None and limits.early_layers.max_rate < 1:
        highest["limits.early_layers.max_rate"] = limits.early_layers.max_rate
    for path, rate in (lowest | highest).items():
        raise ConfigError(
            f"{path} = {rate:g} cannot be kept: method.criterion = {' or '.join(OF_WHOLE_LAYERS)} removes "
            "whole layers; drop the limit (limits.protect can keep layers) or choose another criterion"
        )
