"""The gradient engine: one forward and backward per batch, every criterion and statistic from it."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prunescope.errors import NonFiniteError
from prunescope.importance.criteria import CRITERIA, Criterion
from prunescope.importance.loss import batches, predicted_tokens, token_loss_sum
from prunescope.importance.statistics import STATISTICS, GradientStatistics, absolute_statistics
from prunescope.models.adapter import Block, GroupedWeight, ModelAdapter
from prunescope.progress import Progress

log = logging.getLogger(__name__)


@dataclass
class GradientPass:
    """What one pass over the calibration windows yields.

    Attributes:
        saliency: criterion -> block name (``"{layer}.{kind}"``) -> float32 ``[groups]``.
        statistics: of |g| per parameter and batch.
        loss: mean token loss over all windows, in nats.
        tokens: tokens that went through the model.
    """

    saliency: dict[str, dict[str, Tensor]]
    statistics: GradientStatistics
    loss: float
    tokens: int


def collect_gradients(adapter: ModelAdapter, windows: Tensor, criteria: Iterable[str], batch_size: int) -> GradientPass:
    """Score all groups of a model by every criterion in one pass.

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        criteria: names from `CRITERIA`.
        batch_size: windows per batch.

    Gradients are reduced on the device as they appear and freed; only criteria that need the gradient
    of the mean loss keep one float32 accumulator per prunable weight. A batch counts by its tokens.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; names the layer.
    """
    collector = _Collector(adapter, {name: CRITERIA[name] for name in criteria})
    device = next(adapter.model.parameters()).device
    parts = batches(windows, batch_size, device)
    total = sum(predicted_tokens(part) for part in parts)
    progress = Progress("gradients", total=windows.numel(), unit="tokens")
    loss_sum = 0.0
    with collector.attached():
        for number, part in enumerate(parts):
            count = predicted_tokens(part)
            collector.begin_batch(share=count / total)
            loss = token_loss_sum(adapter.model(part, use_cache=False).logits, part)
            _check_loss(adapter, part, loss, number)
            (loss / count).backward()
            collector.check_finite(number, adapter.model.dtype)
            loss_sum += loss.item()
            progress.advance(part.numel(), f"loss {loss.item() / count:.3f}")
    return GradientPass(collector.saliency(), collector.statistics(), loss_sum / total, windows.numel())


@dataclass
class _Slot:
    """Running sums of one grouped weight."""

    block: Block
    grouped: GroupedWeight
    parameter: nn.Parameter
    mean_gradient: Tensor | None = None
    batch_terms: dict[str, Tensor] = field(default_factory=dict)
    statistics: list[Tensor] = field(default_factory=list)


class _Collector:
    """Hooks that turn each gradient into group sums and statistics the moment it is complete."""

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Criterion]) -> None:
        self.criteria = criteria
        self.accumulates = any(criterion.of_mean for criterion in criteria.values())
        self.share = 0.0
        self.slots = [
            _Slot(block, grouped, adapter.parameters[grouped.name])
            for block in adapter.blocks
            for grouped in block.weights
        ]

    def begin_batch(self, share: float) -> None:
        self.share = share

    def attached(self) -> "_Attached":
        return _Attached(self)

    def reduce(self, slot: _Slot) -> None:
        """Reduce the complete gradient of one parameter and free it."""
        gradient = slot.parameter.grad.float()
        slot.parameter.grad = None
        slot.statistics.append(absolute_statistics(gradient))
        weight = slot.parameter.detach().float()
        for name, criterion in self.criteria.items():
            if criterion.of_batch is not None:
                term = slot.grouped.group_sum(criterion.of_batch(weight, gradient)) * self.share
                slot.batch_terms[name] = slot.batch_terms.get(name, 0) + term
        if self.accumulates:
            if slot.mean_gradient is None:
                slot.mean_gradient = torch.zeros_like(gradient)
            slot.mean_gradient.add_(gradient, alpha=self.share)

    def check_finite(self, number: int, dtype: torch.dtype) -> None:
        """Check the gradients of one batch, with one transfer.

        What is not finite flows down through the layers, so the highest layer is where it began.
        """
        largest = torch.stack([slot.statistics[-1][STATISTICS.index("max")] for slot in self.slots])
        bad = (~torch.isfinite(largest)).nonzero().flatten().tolist()
        if bad:
            slot = max((self.slots[index] for index in bad), key=lambda slot: slot.block.facts.layer)
            raise NonFiniteError(
                f"gradient of {slot.grouped.name} (layer {slot.block.facts.layer}) is not finite in batch "
                f"{number}, compute dtype {str(dtype).removeprefix('torch.')}; {WAY_OUT}"
            )

    def saliency(self) -> dict[str, dict[str, Tensor]]:
        scores: dict[str, dict[str, Tensor]] = {name: defaultdict(float) for name in self.criteria}
        for slot in self.slots:
            weight = slot.parameter.detach().float()
            for name, criterion in self.criteria.items():
                score = slot.batch_terms.get(name, 0)
                if criterion.of_mean is not None:
                    score = score + slot.grouped.group_sum(criterion.of_mean(weight, slot.mean_gradient))
                if criterion.of_weight is not None:
                    score = score + slot.grouped.group_sum(criterion.of_weight(weight))
                scores[name][slot.block.name] += score
        return {name: {key: value.cpu() for key, value in blocks.items()} for name, blocks in scores.items()}

    def statistics(self) -> GradientStatistics:
        values = torch.stack([torch.stack(slot.statistics) for slot in self.slots]).double().cpu().numpy()
        return GradientStatistics(
            names=[slot.grouped.name for slot in self.slots],
            layers=[slot.block.facts.layer for slot in self.slots],
            sizes=[slot.parameter.numel() for slot in self.slots],
            values=values,
        )


class _Attached:
    """Lets the prunable parameters, and only these, require gradients while the pass runs."""

    def __init__(self, collector: _Collector) -> None:
        self.collector = collector

    def __enter__(self) -> None:
        self.handles = []
        for slot in self.collector.slots:
            slot.parameter.requires_grad_(True)
            slot.parameter.grad = None
            hook = slot.parameter.register_post_accumulate_grad_hook
            self.handles.append(hook(lambda _, slot=slot: self.collector.reduce(slot)))

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        for slot in self.collector.slots:
            slot.parameter.requires_grad_(False)
            slot.parameter.grad = None


WAY_OUT = "try gradients.dtype: float32, or check the checkpoint for damaged weights"


def _check_loss(adapter: ModelAdapter, batch: Tensor, loss: Tensor, number: int) -> None:
    if torch.isfinite(loss):
        return
    dtype = str(next(adapter.model.parameters()).dtype).removeprefix("torch.")
    raise NonFiniteError(
        f"the loss of batch {number} is {loss.item()}, compute dtype {dtype}; the residual stream is first "
        f"not finite {first_nonfinite(adapter, batch)}; {WAY_OUT}"
    )


@torch.no_grad()
def first_nonfinite(adapter: ModelAdapter, batch: Tensor) -> str:
    """Say where the residual stream of a batch first holds NaN or infinity."""
    with adapter.recording_inputs() as calls:
        adapter.model(batch, use_cache=False)
    for layer, (hidden, _) in enumerate(calls):
        if not torch.isfinite(hidden).all():
            return "in the embedding" if layer == 0 else f"after layer {layer - 1}"
    return f"after layer {len(calls) - 1} or in the head"
