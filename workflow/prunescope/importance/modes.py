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
        name: ``accumulate``: the mean gradient of every prunable weight, in float32. ``layered``: those of one layer
            at a time, and the residual streams; a third more work. ``stream``: nothing, each gradient is reduced and
            freed. ``gate``: weights have no gradient at all, a third less work; statistics and stability are then of
            activations. What each can score: `prunescope.criteria.MODES`.
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
    if not any(CRITERIA[criterion].gradient == "mean" for criterion in criteria):
        return Mode("stream", reason="no criterion needs the mean gradient") if name == "auto" else Mode(name)
    device = adapter.device
    needed = mean_gradient_bytes(adapter)
    free = free_memory(device)
    if needed + RESERVE <= free:
        return Mode("accumulate", reason=f"{gib(needed)} of mean gradients fit into {gib(free)} free on {device.type}")
    host = free_memory(torch.device("cpu"))
    if device.type != "cpu" and needed + RESERVE <= host:
        why = f"{gib(needed)} of mean gradients do not fit into {gib(free)} free on {device.type}: kept on the host"
        return Mode("accumulate", torch.device("cpu"), why)
    if name == "accumulate":
        return Mode(name)
    return Mode("layered", reason=f"{gib(needed)} of mean gradients fit neither into {gib(free)} free nor on the host")


def mean_gradient_bytes(adapter: ModelAdapter) -> int:
    """Return what the accumulators of all prunable weights take."""
    weights = [adapter.parameters[grouped.name] for block in adapter.blocks for grouped in block.weights]
    return sum(weight.numel() * max(4, weight.element_size()) for weight in weights)
