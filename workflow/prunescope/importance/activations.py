"""Evidence from activations: norms of inputs, derivatives by gates, influence of layers."""

from contextlib import ExitStack
from functools import partial

from torch import Tensor, nn

from prunescope.importance.collector import Batch, Collector, Scores, at_least_float32, sum_over_groups
from prunescope.importance.criteria import Criterion
from prunescope.importance.similarity import distance_sum
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter


class InputNorms(Collector):
    """‖x‖₂ over all calibration tokens of each feature that enters a projection of a block.

    The input projections of a block (q, k, v; gate, up) read the same features, so that two sums per
    block are enough: of the features that rows multiply (`dim` 0) and of those of the output projection's
    columns (`dim` 1). The input of a bias is 1 at every token.
    """

    terms = ("of_input",)

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        super().__init__(adapter, criteria)
        self.squares: dict[tuple[str, int], Tensor] = {}
        self.tokens = 0

    def attach(self, stack: ExitStack) -> None:
        for block in self.adapter.blocks:
            place = block.facts.layer, block.facts.block
            projections = self.adapter.input_projection(*place), self.adapter.output_projection(*place)
            for dim, module in enumerate(projections):
                stack.enter_context(module.register_forward_pre_hook(partial(self._add, (block.name, dim))))

    def begin_batch(self, batch: Batch) -> None:
        self.tokens += batch.tokens

    def _add(self, key: tuple[str, int], _: nn.Module, args: tuple[Tensor]) -> None:
        squares = at_least_float32(args[0]).square().sum(dim=(0, 1))
        self.squares[key] = self.squares.get(key, 0) + squares

    def scores(self, name: str) -> Scores:
        def term(block: Block, grouped: GroupedWeight, weight: Tensor) -> Tensor:
            is_bias = weight.dim() == 1
            squares = weight.new_tensor(self.tokens) if is_bias else self.squares[block.name, grouped.dim]
            return self.criteria[name].of_input(weight, squares.sqrt())

        return sum_over_groups(self.adapter, term)


class GateDerivatives(Collector):
    """∂L_s/∂m of a gate m = 1 that multiplies a group's contribution to the residual stream, per sample s.

    The contribution is linear in the group's inputs a to the output projection (whose bias belongs to no
    group), so that ∂L_s/∂m = Σ_t a·∂L_s/∂a over tokens and inputs, with L_s the mean token loss of the
    sample. Only gradients of activations are needed: no weight must require any.
    """

    terms = ("of_gate",)
    needs_backward = True

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        super().__init__(adapter, criteria)
        self.sums: dict[str, Scores] = {name: {} for name in self.criteria}
        self.samples = 0

    def attach(self, stack: ExitStack) -> None:
        for block in self.adapter.blocks:
            module = self.adapter.output_projection(block.facts.layer, block.facts.block)
            stack.enter_context(module.register_forward_pre_hook(partial(self._watch, block)))

    def begin_batch(self, batch: Batch) -> None:
        super().begin_batch(batch)
        self.samples += batch.samples

    def _watch(self, block: Block, _: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        (inputs,) = args
        if not inputs.requires_grad:  # frozen weights: the graph begins here, at the lowest block
            inputs = inputs.detach().requires_grad_()
        # The hook holds the values alone: with the graph they would keep each other alive.
        inputs.register_hook(partial(self._add, block, inputs.detach()))
        return (inputs,)

    def _add(self, block: Block, inputs: Tensor, gradient: Tensor) -> None:
        products = (at_least_float32(inputs) * at_least_float32(gradient)).sum(dim=1)
        # The batch's loss is the mean over its samples, of equal length: L_s counts 1 / samples in it.
        derivative = products.unflatten(1, (block.facts.groups, -1)).sum(dim=2) * self.batch.samples
        for name, criterion in self.criteria.items():
            total = criterion.of_gate(derivative).sum(dim=0)
            self.sums[name][block.name] = self.sums[name].get(block.name, 0) + total

    def scores(self, name: str) -> Scores:
        return {block.name: self.sums[name][block.name] / self.samples for block in self.adapter.blocks}


class LayerInfluence(Collector):
    """Block influence 1 - E_t cos(h_in, h_out) of the residual stream around a whole layer (Men et al. 2024)."""

    terms = ("of_layer",)

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        super().__init__(adapter, criteria)
        self.distances: dict[int, Tensor] = {}
        self.tokens = 0

    def attach(self, stack: ExitStack) -> None:
        stack.enter_context(self.adapter.watching_layers(self._add))

    def begin_batch(self, batch: Batch) -> None:
        self.tokens += batch.tokens

    def _add(self, layer: int, before: Tensor, _: Tensor, after: Tensor) -> None:
        self.distances[layer] = self.distances.get(layer, 0) + distance_sum(before, after)

    def scores(self, name: str) -> Scores:
        return {block.name: self._of_block(name, block) for block in self.adapter.blocks}

    def _of_block(self, name: str, block: Block) -> Tensor:
        influence = self.distances[block.facts.layer] / self.tokens
        return self.criteria[name].of_layer(influence, block.facts.cost).expand(block.facts.groups)
