"""The engine: one pass over the calibration windows, every criterion and statistic from it."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.errors import NonFiniteError
from prunescope.importance.activations import GateDerivatives, InputNorms, LayerInfluence
from prunescope.importance.collector import Batch, Collector, Scores, Weights
from prunescope.importance.criteria import CRITERIA
from prunescope.importance.stability import Stability
from prunescope.importance.statistics import GradientStatistics
from prunescope.importance.weight_gradients import WAY_OUT, WeightGradients
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress


@dataclass
class GradientPass:
    """What one pass over the calibration windows yields.

    Attributes:
        saliency: criterion -> block name (``"{layer}.{kind}"``) -> float32 ``[groups]``, on the CPU.
        loss: mean token loss over all windows, in nats.
        tokens: tokens that went through the model.
        statistics: of |g| per parameter and batch. stability: of the ranking between two halves of the
            batches. statistics_seconds: what the statistics cost. All None without gradients of weights.
    """

    saliency: dict[str, Scores]
    loss: float
    tokens: int
    statistics: GradientStatistics | None = None
    stability: Stability | None = None
    statistics_seconds: float | None = None


def collect_gradients(
    adapter: ModelAdapter, windows: Tensor, criteria: Iterable[str], batch_size: int, statistics: bool = True
) -> GradientPass:
    """Score all groups of a model by every criterion in one pass.

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        criteria: names from `CRITERIA`.
        batch_size: windows per batch.
        statistics: also collect what the diagnosis needs, gradient statistics and stability, which takes
            the gradients of all prunable weights. False: compute no more than the criteria need: nothing
            backward for wanda, magnitude and shortgpt, no gradient of a weight for gate (statistics and
            stability then come only with the taylor criteria).

    Raises:
        NonFiniteError: a loss, gradient or saliency is NaN or infinite; names the layer.
    """
    chosen = {name: CRITERIA[name] for name in criteria}
    gradients = WeightGradients(adapter, chosen)
    others = [kind(adapter, chosen) for kind in (Weights, InputNorms, GateDerivatives, LayerInfluence)]
    collectors: list[Collector] = [collector for collector in others if collector.criteria]
    if gradients.criteria or statistics:
        collectors.append(gradients)
    loss = _run(adapter, windows, batch_size, collectors)
    found = GradientPass({name: _saliency(name, collectors) for name in chosen}, loss, windows.numel())
    if gradients in collectors:
        found.statistics = gradients.statistics()
        found.stability = gradients.stability(len(windows))
        found.statistics_seconds = gradients.stopwatch.seconds()
    return found


def _run(adapter: ModelAdapter, windows: Tensor, batch_size: int, collectors: list[Collector]) -> float:
    """Run the model over all windows, backward too if a collector needs it; return the mean token loss."""
    parts = batches(windows, batch_size, next(adapter.model.parameters()).device)
    total = sum(predicted_tokens(part) for part in parts)
    backward = any(collector.needs_backward for collector in collectors)
    progress = Progress("gradients" if backward else "activations", total=windows.numel(), unit="tokens")
    loss_sum = 0.0
    with ExitStack() as stack, torch.set_grad_enabled(backward):
        for collector in collectors:
            collector.attach(stack)
        for number, part in enumerate(parts):
            count = predicted_tokens(part)
            batch = Batch(number, samples=len(part), tokens=part.numel(), share=count / total)
            for collector in collectors:
                collector.begin_batch(batch)
            loss = next_token_losses(adapter.model, part).sum()
            _check_loss(adapter, part, loss, number)
            if backward:
                (loss / count).backward()
            for collector in collectors:
                collector.end_batch()
            loss_sum += loss.item()
            progress.advance(part.numel(), f"loss {loss.item() / count:.3f}")
    return loss_sum / total


def _saliency(name: str, collectors: list[Collector]) -> Scores:
    """Add up the terms of a criterion over the collectors that have some."""
    parts = [collector.scores(name) for collector in collectors if name in collector.criteria]
    scores = {block: sum(part[block] for part in parts).float().cpu() for block in parts[0]}
    bad = [block for block, values in scores.items() if not values.isfinite().all()]
    if bad:
        raise NonFiniteError(f"the {name} saliency is not finite in blocks {bad[0]} to {bad[-1]}; {WAY_OUT}")
    return scores


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
