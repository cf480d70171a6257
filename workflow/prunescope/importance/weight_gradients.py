"""Evidence from gradients of weights, each reduced to group sums and statistics as it appears, and freed."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from prunescope.importance.collector import Extent, at_least_float32
from prunescope.importance.criteria import FORMULAS, Terms
from prunescope.importance.gradient_collector import GradientCollector, Source
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter


class WeightGradients(GradientCollector):
    """g_b and ḡ of every prunable weight.

    Only criteria of ḡ keep an accumulator, at least float32, per prunable weight. A batch counts by its tokens.
    Stability is measured by `taylor_stream`, whose sums are small enough to keep for each half.
    """

    terms = ("of_batch", "of_mean")
    compared = "taylor_stream"

    def __init__(
        self,
        adapter: ModelAdapter,
        criteria: dict[str, Terms],
        extent: Extent,
        accumulators: torch.device | None = None,
    ) -> None:
        """Prepare; `accumulators`: where ḡ is kept, by default beside the weights."""
        super().__init__(adapter, criteria, extent)
        self.accumulators = accumulators
        self.accumulates = any(criterion.of_mean for criterion in self.criteria.values())
        needed = self.criteria | {self.compared: FORMULAS[self.compared]}
        self.of_batch = {name: criterion.of_batch for name, criterion in needed.items() if criterion.of_batch}
        self.blocks = {block.name: [grouped.name for grouped in block.weights] for block in adapter.blocks}
        pairs = [(block.facts.layer, grouped) for block in adapter.blocks for grouped in block.weights]
        self.grouped = {grouped.name: grouped for _, grouped in pairs}
        self.sources = {one.name: Source(layer, adapter.parameters[one.name].numel()) for layer, one in pairs}

    def attach(self, stack: ExitStack) -> None:
        """Let the prunable parameters, and only these, require gradients until `stack` closes."""
        for name, grouped in self.grouped.items():
            parameter = self.adapter.parameters[name]
            stack.callback(_freeze, parameter)
            parameter.requires_grad_(True)
            parameter.grad = None
            stack.enter_context(parameter.register_post_accumulate_grad_hook(partial(self._reduce, grouped)))

    def _reduce(self, grouped: GroupedWeight, parameter: nn.Parameter) -> None:
        gradient = at_least_float32(parameter.grad)
        parameter.grad = None
        self.note(grouped.name, gradient)
        change = parameter.detach() * gradient
        for name, term in self.of_batch.items():
            self.add_half(name, grouped.name, grouped.group_sum(term(change)), self.batch.share)
        if self.accumulates:
            self.add(f"mean/{grouped.name}", gradient, self.batch.share, self.accumulators)

    def finish(self, layer: int) -> None:
        """Reduce the mean gradients of a layer to scores, and free them."""
        self._score(layer)
        for name in self.grouped:
            if self.sources[name].layer == layer:
                self.sums.pop(f"mean/{name}", None)

    def half_way(self, layer: int, share: float) -> None:
        self._score(layer, share)
        super().half_way(layer, share)

    def _score(self, layer: int, share: float = 1) -> None:
        for name, criterion in self.criteria.items():
            if criterion.of_mean:
                self.score_layer(layer, name, partial(self._of_mean, criterion.of_mean, share))

    def _of_mean(
        self, of_mean: Callable[[Tensor], Tensor], share: float, _: Block, grouped: GroupedWeight, weight: Tensor
    ) -> Tensor:
        return of_mean(weight * (self.sums[f"mean/{grouped.name}"] / share).to(weight.device))

    def names_of(self, block: str) -> list[str]:
        return self.blocks[block]

    def so_far(self, name: str, block: Block, share: float) -> Tensor:
        parts = []
        if self.criteria[name].of_batch:
            parts.append(self.both(name, block.name) / share)
        if self.criteria[name].of_mean:
            parts.append(self.sums[f"score/{name}/{block.name}"].cpu())
        return torch.stack(parts).sum(dim=0)


def _freeze(parameter: nn.Parameter) -> None:
    parameter.requires_grad_(False)
    parameter.grad = None
