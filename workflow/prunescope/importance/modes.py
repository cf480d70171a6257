"""How the gradient pass keeps its evidence: what each mode can score, and which one the memory allows."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from prunescope.criteria import CRITERIA, not_scored
from prunescope.models.adapter import ModelAdapter
from prunescope.models.memory import free_memory, gib

RESERVE = 3 << 30
"""Bytes left for the activations of a batch; where they do not fit, layers are checkpointed (see `engine`).

As much is left of the host's memory, for the process itself.
"""


@dataclass(frozen=True)
class Mode:
    """What a pass keeps.

    Attributes:
        name: ``accumulate``: the mean gradient of every prunable weight, in float32, and second moments, as far as
            criteria need them. ``layered``: those of one layer at a time, and the residual streams; a third more work.
            ``stream``: nothing, each gradient is reduced and freed. ``gate``: weights have no gradient at all, a third
            less work; statistics and stability are then of activations. What each can score:
            `prunescope.criteria.MODES`.
        accumulators: where mean gradients are kept; None: beside the weights.
        reason: why this mode, for the log.
    """

    name: str
    accumulators: torch.device | None = None
    reason: str = "as configured"

    def scored(self, criteria: Iterable[str]) -> list[str]:
        """Return those of `criteria` that the mode can score."""
        return [name for name in criteria if name not in not_scored(self.name)]


def choose_mode(name: str, adapter: ModelAdapter, criteria: Iterable[str]) -> Mode:
    """Resolve ``auto``: accumulate where the mean gradients fit, on the device or on the host; else layered.

    A model whose layers are read as they run is layered too: each is then read once per direction, not per batch.
    """
    if name not in ("auto", "accumulate"):
        return Mode(name)
    if name == "auto" and adapter.offloaded:
        return Mode("layered", reason="layers are read as they run: once on the way up, and once on the way down")
    needs = {CRITERIA[criterion].gradient for criterion in criteria}
    means = mean_gradient_bytes(adapter) if "mean" in needs else 0
    moments = moment_bytes(adapter) if "output" in needs else 0
    if not means + moments:
        return Mode("stream", reason="no criterion needs the mean gradient") if name == "auto" else Mode(name)
    device = adapter.device
    what, free = f"{gib(means + moments)} of sums", free_memory(device)
    if means + moments + RESERVE <= free:
        return Mode("accumulate", reason=f"{what} fit into {gib(free)} free on {device.type}")
    fits_here, host = moments + RESERVE <= free, free_memory(torch.device("cpu"))
    if device.type != "cpu" and means and fits_here and means + RESERVE <= host:
        why = f"{what} do not fit into {gib(free)} free on {device.type}: mean gradients are kept on the host"
        return Mode("accumulate", torch.device("cpu"), why)
    if name == "accumulate":
        return Mode(name)
    return Mode("layered", reason=f"{what} fit neither into {gib(free)} free nor on the host")


def mean_gradient_bytes(adapter: ModelAdapter) -> int:
    """Return what the accumulators of all prunable weights take."""
    weights = [adapter.parameters[grouped.name] for block in adapter.blocks for grouped in block.weights]
    return sum(weight.numel() * max(4, weight.element_size()) for weight in weights)


def moment_bytes(adapter: ModelAdapter) -> int:
    """Return what the second moments of the inputs and outputs of all output projections take."""
    places = [(block.facts.layer, block.facts.block) for block in adapter.blocks]
    shapes = [adapter.output_projection(*place).weight.shape for place in places]
    return sum(4 * size**2 for shape in shapes for size in shape)
