"""What a collector is: the hooks that gather one kind of evidence during the pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.importance.criteria import Criterion
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter

Scores = dict[str, Tensor]
"""Block name (``"{layer}.{kind}"``) -> ``[groups]``."""


@dataclass(frozen=True)
class Batch:
    """The batch that runs: its place in the pass, its windows, tokens and share of all predicted tokens."""

    number: int
    samples: int
    tokens: int
    share: float


class Collector(ABC):
    """Gathers the evidence of the criteria that have one of its `terms`, and scores their groups by it.

    Attributes:
        terms: the fields of `Criterion` that it serves. needs_backward: whether it needs the backward pass.
        criteria: those of the pass that it serves, by name.
    """

    terms: tuple[str, ...]
    needs_backward = False

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        self.adapter = adapter
        self.criteria = {
            name: criterion
            for name, criterion in criteria.items()
            if any(getattr(criterion, term) is not None for term in self.terms)
        }

    @abstractmethod
    def attach(self, stack: ExitStack) -> None:
        """Attach the hooks until `stack` closes."""

    def begin_batch(self, batch: Batch) -> None:
        """Prepare for a batch."""
        self.batch = batch

    def end_batch(self) -> None:  # noqa: B027 (optional)
        """Check the evidence of the batch, which has run forward and, if anybody needs it, backward."""

    @abstractmethod
    def scores(self, name: str) -> Scores:
        """Return what its terms add to the criterion `name`, one of `criteria`, for every group."""


class Weights(Collector):
    """The weights themselves: there is nothing to gather."""

    terms = ("of_weight",)

    def attach(self, stack: ExitStack) -> None:
        pass

    def scores(self, name: str) -> Scores:
        return sum_over_groups(self.adapter, lambda block, grouped, weight: self.criteria[name].of_weight(weight))


def sum_over_groups(adapter: ModelAdapter, term: Callable[[Block, GroupedWeight, Tensor], Tensor]) -> Scores:
    """Sum ``term(block, grouped, weight)``, one value per weight, over the weights of each group."""
    return {
        block.name: sum(
            grouped.group_sum(term(block, grouped, at_least_float32(adapter.parameters[grouped.name])))
            for grouped in block.weights
        )
        for block in adapter.blocks
    }


def at_least_float32(values: Tensor) -> Tensor:
    """Return `values` outside the graph, in float32 unless they are wider (bfloat16 and float16 sums lose digits)."""
    return values.detach().to(torch.promote_types(values.dtype, torch.float32))
