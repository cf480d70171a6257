"""Evidence from gradients of weights: criteria, statistics and stability, each reduced as the gradient appears."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from prunescope.errors import NonFiniteError
from prunescope.importance.collector import Collector, Scores, at_least_float32, sum_over_groups
from prunescope.importance.criteria import CRITERIA, Criterion
from prunescope.importance.stability import Stability, layer_correlations
from prunescope.importance.statistics import STATISTICS, GradientStatistics, absolute_statistics
from prunescope.importance.stopwatch import Stopwatch
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter

WAY_OUT = "try gradients.dtype: float32, or check the checkpoint for damaged weights"
HALVED = "taylor_stream"
"""The criterion that stability is measured by: its sums are small enough to keep for each half."""


@dataclass
class _Slot:
    """Running sums of one grouped weight; `halves`: criterion -> ``[2, groups]``, even and odd batches."""

    block: Block
    grouped: GroupedWeight
    parameter: nn.Parameter
    mean_gradient: Tensor | None = None
    halves: dict[str, Tensor] = field(default_factory=dict)
    statistics: list[Tensor] = field(default_factory=list)


class WeightGradients(Collector):
    """g_b and ḡ of every prunable weight.

    Each gradient is reduced to group sums and statistics the moment it is complete, and freed; only
    criteria of ḡ keep an accumulator, at least float32, per prunable weight. A batch counts by its tokens.
    """

    terms = ("of_batch", "of_mean")
    needs_backward = True

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        super().__init__(adapter, criteria)
        of_batch = {name: criterion for name, criterion in self.criteria.items() if criterion.of_batch}
        self.of_batch = of_batch | {HALVED: CRITERIA[HALVED]}
        self.accumulates = any(criterion.of_mean for criterion in self.criteria.values())
        self.stopwatch = Stopwatch(next(adapter.model.parameters()).device)
        self.slots = {
            grouped.name: _Slot(block, grouped, adapter.parameters[grouped.name])
            for block in adapter.blocks
            for grouped in block.weights
        }

    def attach(self, stack: ExitStack) -> None:
        """Let the prunable parameters, and only these, require gradients until `stack` closes."""
        for slot in self.slots.values():
            stack.callback(_freeze, slot.parameter)
            slot.parameter.requires_grad_(True)
            slot.parameter.grad = None
            hook = slot.parameter.register_post_accumulate_grad_hook
            stack.enter_context(hook(partial(self._reduce, slot)))

    def _reduce(self, slot: _Slot, parameter: nn.Parameter) -> None:
        """Reduce the complete gradient of one parameter and free it."""
        gradient, weight = at_least_float32(parameter.grad), at_least_float32(parameter)
        parameter.grad = None
        with self.stopwatch.running():
            slot.statistics.append(absolute_statistics(gradient.float()))
        for name, criterion in self.of_batch.items():
            term = slot.grouped.group_sum(criterion.of_batch(weight, gradient)) * self.batch.share
            if name not in slot.halves:
                slot.halves[name] = term.new_zeros(2, len(term))
            slot.halves[name][self.batch.number % 2] += term
        if self.accumulates:
            if slot.mean_gradient is None:
                slot.mean_gradient = torch.zeros_like(gradient)
            slot.mean_gradient.add_(gradient, alpha=self.batch.share)

    def end_batch(self) -> None:
        """Check that all gradients are finite, with one transfer.

        What is not finite flows down through the layers, so the highest layer is where it began.
        """
        slots = list(self.slots.values())
        largest = torch.stack([slot.statistics[-1][STATISTICS.index("max")] for slot in slots])
        bad = (~torch.isfinite(largest)).nonzero().flatten().tolist()
        if bad:
            slot = max((slots[index] for index in bad), key=lambda slot: slot.block.facts.layer)
            raise NonFiniteError(
                f"gradient of {slot.grouped.name} (layer {slot.block.facts.layer}) is not finite in batch "
                f"{self.batch.number}, compute dtype {str(slot.parameter.dtype).removeprefix('torch.')}; {WAY_OUT}"
            )

    def scores(self, name: str) -> Scores:
        criterion = self.criteria[name]
        scores: Scores = {}
        if criterion.of_batch is not None:
            scores = {block: halves.sum(dim=0) for block, halves in self._halves(name).items()}
        if criterion.of_mean is not None:
            of_mean = sum_over_groups(
                self.adapter,
                lambda block, grouped, weight: criterion.of_mean(weight, self.slots[grouped.name].mean_gradient),
            )
            scores = {block: scores.get(block, 0) + term for block, term in of_mean.items()}
        return scores

    def _halves(self, name: str) -> dict[str, Tensor]:
        """Return block -> ``[2, groups]``: the batch terms of a criterion, of even and of odd batches."""
        return {
            block.name: sum(self.slots[grouped.name].halves[name] for grouped in block.weights)
            for block in self.adapter.blocks
        }

    def stability(self, samples: int) -> Stability:
        """Compare the ranking by even batches with that by odd batches; `samples`: windows of the pass."""
        halves = {block: values.cpu().numpy() for block, values in self._halves(HALVED).items()}
        return Stability(HALVED, layer_correlations((block.facts for block in self.adapter.blocks), halves), samples)

    def statistics(self) -> GradientStatistics:
        slots = self.slots.values()
        values = torch.stack([torch.stack(slot.statistics) for slot in slots]).double().cpu().numpy()
        return GradientStatistics(
            names=[slot.grouped.name for slot in slots],
            layers=[slot.block.facts.layer for slot in slots],
            sizes=[slot.parameter.numel() for slot in slots],
            values=values,
        )


def _freeze(parameter: nn.Parameter) -> None:
    parameter.requires_grad_(False)
    parameter.grad = None
