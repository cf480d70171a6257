"""Evidence from both sides of the output projections: second moments of what enters them, and of gradients behind."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunescope.importance.collector import Collector, Scores, at_least_float32
from prunescope.models.adapter import Block


class Curvature(Collector):
    """H = Σ x xᵀ of the inputs x of each output projection, and G = E[g gᵀ], g = ∂L/∂y by what it puts out.

    L is the summed loss, so that G is that of one token. Both are kept for a block until it is scored.
    """

    terms = ("of_curvature",)
    goes_down = True

    def attach(self, stack: ExitStack) -> None:
        for block in self.adapter.blocks:
            module = self.adapter.output_projection(block.facts.layer, block.facts.block)
            stack.enter_context(module.register_forward_hook(partial(self._watch, block)))

    def _watch(self, block: Block, _: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        if not output.requires_grad:  # frozen weights: the graph begins here, at the lowest block
            output = output.detach().requires_grad_()
        return _Tap.apply(output, args[0], partial(self._add, block))

    def _add(self, block: Block, inputs: Tensor, gradient: Tensor) -> None:
        inputs, gradient = at_least_float32(inputs).flatten(0, 1), at_least_float32(gradient)
        windows, tokens = gradient.shape[:2]
        predicted = windows * (tokens - 1)  # the batch's loss is the mean over these
        gradient = gradient.flatten(0, 1) * predicted
        self.add(f"inputs/{block.name}", inputs.T @ inputs)
        self.add(f"outputs/{block.name}", gradient.T @ gradient, 1 / self.extent.tokens)

    def finish(self, layer: int) -> None:
        """Score the blocks of a layer, and free their sums."""
        for block in self.adapter.blocks:
            if block.facts.layer == layer:
                sums = [self.sums.pop(f"{side}/{block.name}") for side in ("inputs", "outputs")]
                output = next(grouped for grouped in block.weights if grouped.dim == 1)
                weight = self.adapter.weights(output.name).to(sums[0].device)
                for name in self.criteria:
                    scores = self.formula(name)(*sums, weight, block.facts.groups, self.extent.tokens)
                    self.sums[f"score/{name}/{block.name}"] = scores

    def scores(self, name: str) -> Scores:
        return self.scored(name)


class _Tap(torch.autograd.Function):
    """The identity on an output, which shows what went in, and the gradient on its way back."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, inputs: Tensor, show: Callable[[Tensor, Tensor], None]) -> Tensor:
        ctx.save_for_backward(inputs.detach())
        ctx.show = show
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inputs,) = ctx.saved_tensors
        ctx.show(inputs, gradient)
        return gradient, None, None
