"""The unpruned model, computing what the checkpoint will, with one factor per kept group that can be trained."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.models.adapter import Block, ModelAdapter, running
from prunescope.pruning.fitted import Weights
from prunescope.recovery.objective import Teacher


class CutBlock:
    """The output projection of a block that loses some groups and keeps some.

    Attributes:
        factors: one per kept group, float32 or better; ones at first. weight: of the kept columns, ``[d, kept]``.
    """

    def __init__(self, adapter: ModelAdapter, block: Block, plan: BlockPlan, repaired: Weights) -> None:
        self.facts = block.facts
        self.grouped = next(grouped for grouped in block.weights if grouped.dim == 1)
        self.kept = torch.from_numpy(plan.kept)
        self.projection = adapter.output_projection(block.facts.layer, block.facts.block)
        whole = self.projection.weight
        columns = torch.arange(whole.shape[1])[None]
        self.columns = self.grouped.select(columns, self.kept)[0].to(whole.device)
        self.repaired = repaired.get(self.grouped.name)
        self.weight = whole[:, self.columns] if self.repaired is None else self.repaired.to(whole)
        wide = torch.promote_types(whole.dtype, torch.float32)
        self.factors = nn.Parameter(torch.ones(len(self.kept), dtype=wide, device=whole.device))

    def run(self, inputs: Tensor) -> Tensor:
        """Compute what the projection will in the checkpoint, on the inputs of the unpruned one."""
        scaled = inputs[..., self.columns] * self.factors.repeat_interleave(self.grouped.width)
        return functional.linear(scaled.to(inputs.dtype), self.weight, self.projection.bias)

    @torch.no_grad()
    def fold(self, read: Callable[[str], Tensor]) -> Tensor:
        """Move the factors into the weight, which is returned in the dtype that is stored, rounded once."""
        repaired = self.repaired
        stored = self.grouped.select(read(self.grouped.name), self.kept) if repaired is None else repaired
        factors = self.factors.cpu().repeat_interleave(self.grouped.width)
        folded = (stored.to(torch.promote_types(stored.dtype, factors.dtype)) * factors).to(stored.dtype)
        self.weight = folded.to(self.weight)
        self.factors.fill_(1.0)
        return folded


class CutModel:
    """The unpruned model in memory; it computes what the checkpoint will, while it is `cut`.

    Args:
        repaired: kept columns that another repair left, by the names in the parent.

    Attributes:
        blocks: those that have factors, upwards.
    """

    def __init__(self, adapter: ModelAdapter, plan: PruningPlan, repaired: Weights) -> None:
        self.adapter = adapter
        plans = [(block, plan.block(block.facts.layer, block.facts.block)) for block in adapter.blocks]
        self.whole = [block.facts for block, told in plans if told.whole]
        self.blocks = [
            CutBlock(adapter, block, told, repaired) for block, told in plans if len(told.removed) and not told.whole
        ]

    @property
    def factors(self) -> list[nn.Parameter]:
        """The factors of all blocks."""
        return [block.factors for block in self.blocks]

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Within the block the model is cut."""
        with ExitStack() as stack:
            for facts in self.whole:
                stack.enter_context(self.adapter.silenced(facts.layer, facts.block))
            for block in self.blocks:
                stack.enter_context(running(block.projection, block.run))
            yield

    @property
    def teacher(self) -> Teacher:
        """The model as it is unpruned, also while it is cut."""
        return Teacher(self._dense, self.adapter.model.get_output_embeddings())

    @torch.no_grad()
    def _dense(self, input_ids: Tensor) -> Tensor:
        model = self.adapter.model
        changed = [self.adapter.module(facts.layer, facts.block) for facts in self.whole]
        training = model.training
        model.eval()
        with ExitStack() as stack:
            for module in (*changed, *(block.projection for block in self.blocks)):
                stack.enter_context(running(module, partial(type(module).forward, module)))
            states = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
        model.train(training)
        return states
