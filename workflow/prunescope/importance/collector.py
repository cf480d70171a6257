"""What a collector is: the hooks that gather one kind of evidence during the pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from prunescope.importance.criteria import Terms
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter

Scores = dict[str, Tensor]
"""Block name (``"{layer}.{kind}"``) -> ``[groups]``."""


@dataclass(frozen=True)
class Extent:
    """How much a pass covers: windows, their tokens, and the batches that they come in."""

    samples: int
    tokens: int
    batches: int


@dataclass(frozen=True)
class Batch:
    """The batch that runs: its place in the pass, its windows, and its share of all predicted tokens."""

    number: int
    samples: int
    share: float


class Collector(ABC):
    """Gathers the evidence of the criteria that have one of its `terms`, and scores their groups by it.

    Attributes:
        terms: the fields of `Terms` that it serves.
        criteria: those of the pass that it serves, by name.
        sums: all that it has gathered so far, by name: what a pass that was interrupted needs to go on.
        forward: whether a batch is on its way up; checkpointing runs parts of it again on the way down.
    """

    terms: tuple[str, ...]

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Terms], extent: Extent) -> None:
        self.adapter, self.extent = adapter, extent
        self.criteria = {
            name: criterion
            for name, criterion in criteria.items()
            if any(getattr(criterion, term) is not None for term in self.terms)
        }
        self.sums: dict[str, Tensor] = {}
        self.forward = False

    def add(self, name: str, values: Tensor, scale: float = 1, device: torch.device | None = None) -> None:
        """Add ``values * scale`` to a sum that is kept on `device`, by default on that of `values`."""
        values = values.to(device or values.device)
        if name not in self.sums:
            self.sums[name] = values * scale
        else:  # a sum that was read back from a file comes on the CPU
            self.sums[name] = self.sums[name].to(values.device).add_(values, alpha=scale)

    def formula(self, name: str) -> Callable[..., Tensor]:
        """Return the term of the criterion `name`, where the collector serves a single kind of them."""
        (term,) = self.terms
        return getattr(self.criteria[name], term)

    @abstractmethod
    def attach(self, stack: ExitStack) -> None:
        """Attach the hooks until `stack` closes."""

    def begin_batch(self, batch: Batch) -> None:
        """Prepare for a batch."""
        self.batch, self.forward = batch, True

    def begin_backward(self) -> None:
        """Prepare for the way down: hooks of the way up fire again where a layer is checkpointed."""
        self.forward = False

    def finish(self, layer: int) -> None:  # noqa: B027 (not all have something to reduce)
        """Reduce what is complete now that all batches have been through a layer; its weights are at hand."""

    def score_layer(self, layer: int, name: str, term: Callable[[Block, GroupedWeight, Tensor], Tensor]) -> None:
        """Sum ``term(block, grouped, weight)``, one value per weight, over the weights of each group of a layer."""
        for block in self.adapter.blocks:
            if block.facts.layer == layer:
                self.sums[f"score/{name}/{block.name}"] = sum(
                    grouped.group_sum(term(block, grouped, at_least_float32(self.adapter.weights(grouped.name))))
                    for grouped in block.weights
                )

    def scored(self, name: str) -> Scores:
        """Return what `score_layer` summed under the name of a criterion."""
        return {block.name: self.sums[f"score/{name}/{block.name}"] for block in self.adapter.blocks}

    @abstractmethod
    def scores(self, name: str) -> Scores:
        """Return what its terms add to the criterion `name`, one of `criteria`, for every group."""


class Weights(Collector):
    """The weights themselves: there is nothing to gather."""

    terms = ("of_weight",)

    def attach(self, stack: ExitStack) -> None:
        pass

    def finish(self, layer: int) -> None:
        for name in self.criteria:
            self.score_layer(layer, name, partial(self._term, name))

    def _term(self, name: str, _: Block, __: GroupedWeight, weight: Tensor) -> Tensor:
        return self.formula(name)(weight)

    def scores(self, name: str) -> Scores:
        return self.scored(name)


def at_least_float32(values: Tensor) -> Tensor:
    """Return `values` outside the graph, in float32 unless they are wider (bfloat16 and float16 sums lose digits)."""
    return values.detach().to(torch.promote_types(values.dtype, torch.float32))
