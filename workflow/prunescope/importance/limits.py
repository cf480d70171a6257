"""Limits on selection, as the largest number of groups that each block may lose."""

import math
from dataclasses import dataclass

from prunescope.config.sections import Limits
from prunescope.models.facts import BlockFacts


@dataclass(frozen=True)
class Cap:
    """The largest number of `groups` that a block may lose, and the config path of the limit that says so.

    `limit` is None where nothing but the size of the block limits.
    """

    groups: int
    limit: str | None


def block_cap(block: BlockFacts, layers: int, limits: Limits) -> Cap:
    """Return the tightest cap of one block.

    Args:
        layers: number of layers, to resolve negative indices in `protect`.
    """
    caps = [Cap(block.groups, None)]
    if limits.max_rate is not None:
        caps.append(Cap(_whole(limits.max_rate, block.groups), "limits.max_rate"))
    if limits.early_layers is not None and block.layer < limits.early_layers.count:
        caps.append(Cap(_whole(limits.early_layers.max_rate, block.groups), "limits.early_layers"))
    if block.layer in {index % layers for index in limits.protect}:
        caps.append(Cap(0, "limits.protect"))
    return min(caps, key=lambda cap: cap.groups)


def _whole(rate: float, groups: int) -> int:
    # 0.3 * 10 is 3.0000000000000004 and 0.29 * 100 is 28.999999999999996 in binary.
    return math.floor(rate * groups + 1e-9)
