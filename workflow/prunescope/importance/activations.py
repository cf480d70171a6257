"""Evidence from activations: norms of inputs, derivatives by gates, influence of layers."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.importance.collector import Collector, Extent, Scores, at_least_float32
from prunescope.importance.criteria import FORMULAS, Terms
from prunescope.importance.gradient_collector import GradientCollector, Source
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter


class InputNorms(Collector):
    """‖x‖₂ over all calibration tokens of each feature that enters a projection of a block.

    The input projections of a block (q, k, v; gate, up) read the same features, so two sums per block are enough:
    of what rows multiply (`dim` 0) and of what the output projection's columns do (`dim` 1). A bias multiplies 1.
    """

    terms = ("of_input",)

    def attach(self, stack: ExitStack) -> None:
        for block in self.adapter.blocks:
            place = block.facts.layer, block.facts.block
            projections = self.adapter.input_projection(*place), self.adapter.output_projection(*place)
            for dim, module in enumerate(projections):
                stack.enter_context(module.register_forward_pre_hook(partial(self._add, f"{block.name}/{dim}")))

    def _add(self, name: str, _: nn.Module, args: tuple[Tensor]) -> None:
        if self.forward:
            self.add(name, at_least_float32(args[0]).square().sum(dim=(0, 1)))

    def finish(self, layer: int) -> None:
        for name in self.criteria:
            self.score_layer(layer, name, partial(self._term, name))

    def _term(self, name: str, block: Block, grouped: GroupedWeight, weight: Tensor) -> Tensor:
        is_bias = weight.dim() == 1
        squares = weight.new_tensor(self.extent.tokens) if is_bias else self.sums[f"{block.name}/{grouped.dim}"]
        return self.formula(name)(weight, squares.to(weight.device).sqrt())

    def scores(self, name: str) -> Scores:
        return self.scored(name)


class GateDerivatives(GradientCollector):
    """∂L_s/∂m of a gate m = 1 that multiplies a group's contribution to the residual stream, per sample s.

    The contribution is linear in the group's inputs a to the output projection (whose bias belongs to no group), so
    ∂L_s/∂m = Σ_t a·∂L_s/∂a over tokens and inputs, with L_s the sample's mean token loss. No weight needs a gradient.
    """

    terms = ("of_gate",)
    compared = "gate"

    def __init__(
        self, adapter: ModelAdapter, criteria: dict[str, Terms], extent: Extent, observes: bool = False
    ) -> None:
        """Prepare; `observes`: also keep statistics of |∂L/∂a| and compare halves, where no weight has a gradient."""
        super().__init__(adapter, criteria, extent)
        needed = self.criteria | ({self.compared: FORMULAS[self.compared]} if observes else {})
        self.of_gate = {name: criterion.of_gate for name, criterion in needed.items() if criterion.of_gate}
        if observes:
            self.sources = {self._name(block): self._source(block) for block in adapter.blocks}

    def _name(self, block: Block) -> str:
        return f"{block.weights[-1].name.removesuffix('.weight')}.input"

    def _source(self, block: Block) -> Source:
        features = self.adapter.output_projection(block.facts.layer, block.facts.block).in_features
        return Source(block.facts.layer, features, per_token=True)

    def attach(self, stack: ExitStack) -> None:
        for block in self.adapter.blocks:
            module = self.adapter.output_projection(block.facts.layer, block.facts.block)
            stack.enter_context(module.register_forward_pre_hook(partial(self._watch, block)))

    def _watch(self, block: Block, _: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        (inputs,) = args
        if not inputs.requires_grad:  # frozen weights: the graph begins here, at the lowest block
            inputs = inputs.detach().requires_grad_()
        return (_Tap.apply(inputs, partial(self._add, block)),)

    def _add(self, block: Block, inputs: Tensor, gradient: Tensor) -> None:
        gradient = at_least_float32(gradient)
        if self.sources:
            self.note(self._name(block), gradient)
        products = (at_least_float32(inputs) * gradient).sum(dim=1)
        # The batch's loss is the mean over its samples, of equal length: L_s counts 1 / samples in it.
        derivative = products.unflatten(1, (block.facts.groups, -1)).sum(dim=2) * self.batch.samples
        for name, term in self.of_gate.items():
            self.add_half(name, block.name, term(derivative).sum(dim=0), 1 / self.extent.samples)

    def names_of(self, block: str) -> list[str]:
        return [block]

    def so_far(self, name: str, block: Block, share: float) -> Tensor:
        return self.both(name, block.name) / share


class _Tap(torch.autograd.Function):
    """The identity, which shows its input and the gradient of it on the way back.

    The input is saved as autograd saves things, so that checkpointing can drop it and compute it again.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, show: Callable[[Tensor, Tensor], None]) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.show = show
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (inputs,) = ctx.saved_tensors
        ctx.show(inputs, gradient)
        return gradient, None


class LayerInfluence(Collector):
    """Block influence 1 - E_t cos(h_in, h_out) of the residual stream around a whole layer (Men et al. 2024)."""

    terms = ("of_layer",)

    def attach(self, stack: ExitStack) -> None:
        stack.enter_context(self.adapter.watching_layers(self._add))

    def _add(self, layer: int, before: Tensor, _: Tensor, after: Tensor) -> None:
        self.add(str(layer), distance_sum(before, after))

    def scores(self, name: str) -> Scores:
        return {block.name: self._of_block(name, block) for block in self.adapter.blocks}

    def _of_block(self, name: str, block: Block) -> Tensor:
        influence = self.sums[str(block.facts.layer)] / self.extent.tokens
        return self.formula(name)(influence, block.facts.cost).expand(block.facts.groups)


@torch.no_grad()
def distance_sum(before: Tensor, after: Tensor) -> Tensor:
    """Return Σ_t (1 - cos(before_t, after_t)), a float64 scalar on the same device.

    Args:
        before, after: the residual stream at two places, ``[batch, tokens, d]``.
    """
    wide = torch.promote_types(before.dtype, torch.float32)
    return (1 - functional.cosine_similarity(before.to(wide), after.to(wide), dim=-1)).sum(dtype=torch.float64)
