"""Uniform widths: every layer loses the same number of GQA groups and of MLP channels.

Which groups of a block go, its scores decide; how many, the sums of the scores over all layers. These are two numbers
alone, so that all pairs are looked at: for each number of GQA groups the fewest channels that reach the budget. Pure
arithmetic, as in `limits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prunescope.artifacts.facts import BlockFacts, ModelFacts
from prunescope.config.checks import UNIFORM_LAYERS
from prunescope.config.sections import Limits
from prunescope.criteria import RemovalUnit
from prunescope.errors import BudgetError, ConfigError
from prunescope.importance.limits import Lane, budget_of, check_budget, lanes_of

Pair = tuple[int, int]
"""How many groups go from every attention block, and how many channels from every MLP."""

NAME = "limits.widths = uniform"
LISTED = 9
"""From so many numbers on, a sentence names the first and the last."""


@dataclass(frozen=True)
class Choice:
    """A pair; `rounding_unit` and `bound` as in `Selection`."""

    pair: Pair
    rounding_unit: int
    bound: dict[str, list[str]]


@dataclass(frozen=True)
class UniformCuts:
    """The pairs that leave a stock architecture, and those of them that spend the budget under the limits.

    Raises:
        ConfigError: the criterion removes whole layers, or the facts are too old; see `lanes_of`, too.
    """

    facts: ModelFacts
    ratio: float
    limits: Limits
    unit: RemovalUnit = "group"

    def __post_init__(self) -> None:
        if self.unit == "layer":
            raise ConfigError(UNIFORM_LAYERS)
        if not self.facts.stock_groups:
            raise ConfigError(
                f"{NAME} needs facts that the model.json of '{self.facts.name}', made by version 0.2, lacks: delete "
                "its folder in results/_shared/model and run again, which makes that file anew and nothing else"
            )

    @cached_property
    def lanes(self) -> tuple[Lane, Lane]:
        """Attention and MLP of the first layer; the others are alike."""
        attention, mlp = lanes_of(self.facts.blocks[:2], self.limits, "group")
        return attention, mlp

    def parameters(self, pair: Pair) -> int:
        """Return how many parameters a pair removes."""
        return self.facts.layers * sum(gone * lane.blocks[0].cost for gone, lane in zip(pair, self.lanes, strict=True))

    def possible(self) -> tuple[list[int], list[int]]:
        """Return how many groups and channels may go, limits aside: something stays of every block."""
        attention, mlp = ([0, *lane.ends[:-1]] for lane in self.lanes)
        return [gone for gone in attention if self.lanes[0].groups - gone in self.facts.stock_groups], mlp

    def allowed(self) -> tuple[list[int], list[int]]:
        """Return those of `possible` with which the limits can be kept and the budget reached.

        Raises:
            BudgetError: the limits leave too little or force too much.
        """
        attention, mlp = (self._within(counts, lane) for counts, lane in zip(self.possible(), self.lanes, strict=True))
        least, most = (self.parameters((attention[end], mlp[end])) for end in (0, -1))
        names = {lane.limit for lane in self.lanes if lane.limit} | {NAME}
        check_budget(self.facts, self.ratio, self.limits, (least, most), names)
        return attention, mlp

    def choose(self, losses: tuple[np.ndarray, np.ndarray]) -> Choice:
        """Return the pair with which least goes, of those that reach the budget, and exceed it by less than a step.

        If all exceed it by more, the smallest cut is taken.

        Args:
            losses: of attention and MLP, by how many groups go from every block, float64 ``[groups + 1]``.

        Raises:
            BudgetError: see `allowed`.
        """

        def loss(pair: Pair) -> tuple[float, int]:
            return float(losses[0][pair[0]] + losses[1][pair[1]]), self.parameters(pair)

        allowed = self.allowed()
        chosen, wanted = (min(self._reaching(*counts), key=loss) for counts in (allowed, self.possible()))
        bound: dict[str, list[str]] = {}
        for lane, count in zip(self.lanes, wanted, strict=True):
            least, most = _range(lane)
            limit = lane.limit if count > most else lane.minimum if count < least else None
            if limit:
                kind = lane.blocks[0].block
                bound.setdefault(limit, []).extend(f"{layer}.{kind}" for layer in range(self.facts.layers))
        return Choice(chosen, self._step(*allowed), bound)

    def _step(self, attention: list[int], mlp: list[int]) -> int:
        """Return the parameters of a step in all layers: of channels where MLPs can be cut, else of groups."""
        kind = 1 if len(mlp) > 1 else 0
        steps = np.diff((attention, mlp)[kind])
        return self.facts.layers * self.lanes[kind].blocks[0].cost * int(steps.max(initial=0))

    def _within(self, counts: list[int], lane: Lane) -> list[int]:
        """Return the counts that the limits allow."""
        least, most = _range(lane)
        allowed = [count for count in counts if least <= count <= most]
        if not allowed:
            names = " and ".join(name for name in (lane.minimum, lane.limit) if name)
            kept = sorted(lane.groups - count for count in counts)
            some = ", ".join(map(str, kept)) if len(kept) < LISTED else f"{kept[0]} to {kept[-1]}"
            raise BudgetError(
                f"{names} cannot be kept: under {NAME} every {lane.blocks[0].block} block of a {self.facts.model_type} "
                f"model keeps {some} of its {lane.groups} groups, for stock programs; relax the limit"
            )
        return allowed

    def _reaching(self, attention: list[int], mlp: list[int]) -> list[Pair]:
        budget = budget_of(self.facts, self.ratio)
        fewest = (next((pair for m in mlp if self.parameters(pair := (a, m)) >= budget), None) for a in attention)
        pairs = [pair for pair in fewest if pair]
        close = [pair for pair in pairs if self.parameters(pair) - budget < self._step(attention, mlp)]
        return close or [min(pairs, key=self.parameters)]


def summed_losses(
    blocks: Sequence[BlockFacts], scores: np.ndarray, orders: Sequence[tuple[int, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what goes with the groups of lowest score, summed over the layers, for attention and MLP.

    Args:
        scores: per parameter, of all groups. orders: of each block, see `ascending`.

    Returns:
        float64 ``[groups + 1]`` of each kind: by how many groups go from every block.
    """
    gone = [block.cost * np.cumsum(scores[start + order]) for block, (start, order) in zip(blocks, orders, strict=True)]
    attention, mlp = (np.append(0.0, np.sum(gone[kind::2], axis=0)) for kind in range(2))
    return attention, mlp


def _range(lane: Lane) -> Pair:
    """Return the fewest and the most groups that limits let a block lose."""
    least, most = ((0, *lane.ends)[units] for units in (lane.least, lane.most))
    return least, most
