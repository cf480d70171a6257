"""What the model loses when groups are silent: dozens of interventions in one sweep over the layers.

A plan, a remedy, the removal of a block are all interventions. Each has a residual stream of its own from the first
block on that it silences; interventions that agree up to a block share the stream up to there. All streams go through
a layer before the next one, so that its weights are read once for all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches, losses_and_divergences, token_losses
from prunescope.models.memory import free_memory
from prunescope.models.sweep import SHARE_OF_HOST, Sweep, rows_of
from prunescope.progress import Progress
from prunescope.trial.climb import DENSE, Climb, Silent, Watch
from prunescope.trial.stand_ins import StandIns

if TYPE_CHECKING:  # it needs pydantic, which measuring must do without
    from prunescope.artifacts.plan import PruningPlan

HELD = 16
"""Streams that are held per window of a call: they take about as much memory as the activations of its MLP."""


@dataclass(frozen=True)
class Intervention:
    """Groups that add nothing to the residual stream; `name`: what it is called in results."""

    name: str
    silent: Silent = field(default_factory=dict)

    @classmethod
    def of_plan(cls, name: str, plan: "PruningPlan") -> "Intervention":
        """Return what a plan does to a model, before anything is repaired."""
        changed = [block for block in plan.blocks if len(block.removed)]
        blocks = {f"{block.facts.layer}.{block.facts.block}": block for block in changed}
        return cls(name, {key: None if block.whole else (*block.removed.tolist(),) for key, block in blocks.items()})

    @property
    def first_layer(self) -> int:
        """The lowest layer that it changes; 0 where it changes none."""
        return min((int(block.split(".")[0]) for block in self.silent), default=0)


@dataclass(frozen=True)
class Losses:
    """Of the dense model, in the first row, and of each intervention, in order; a column per window.

    Attributes:
        loss: float64 ``[1 + interventions, windows]``, cross-entropy in nats per predicted token.
        divergence: float64, of the same shape: KL(dense || silenced) in nats per position; None: not asked for.
    """

    loss: Tensor
    divergence: Tensor | None


@torch.no_grad()
def measure(
    adapter: ModelAdapter,
    windows: Tensor,
    interventions: Sequence[Intervention],
    batch_size: int,
    held: int | None = None,
    divergence: bool = True,
    watch: Watch | None = None,
    stand_ins: StandIns | None = None,
) -> Losses:
    """Measure the loss of every window without and with each intervention.

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        batch_size: windows that a layer takes at a time.
        held: residual streams of windows that exist at a time, the dense ones aside; None: `HELD` times `batch_size`
            or, where a layer is costly to begin with, as many as the host's memory takes. No size changes a number.
        divergence: whether KL is measured too.
        watch: is shown the dense stream around every block.
        stand_ins: what plays the silent groups of blocks that stay; None: they add nothing.
    """
    count = len(interventions)
    # Its weights are read as it runs, or its stand-ins are computed: once for all windows, if memory takes them.
    costly = adapter.offloaded or stand_ins is not None
    held = held or (_held(adapter, windows, batch_size) if costly else HELD * batch_size)
    together = min(len(windows) if costly else batch_size, max(1, held // max(1, count)))
    parts = batches(windows, together, adapter.device)
    chunks = [_chunks(interventions, max(1, held // len(part))) for part in parts]
    climbs = [len(adapter.layers) - chunk.start for some in chunks for chunk in some]
    progress = Progress("interventions", total=sum(climbs), unit="layers")
    climb = partial(
        Climb,
        Sweep(adapter, windows[:1].to(adapter.device)),
        call=batch_size,
        device=torch.device("cpu") if costly else adapter.device,
        progress=progress,
        stand_ins=stand_ins,
    )
    results = torch.zeros(2, 1 + count, len(windows), dtype=torch.float64)
    for part, rows, some in zip(parts, rows_of(parts), chunks, strict=True):
        for row, values in _climb_all(climb, adapter, part, interventions, some, divergence, watch):
            results[:, row, rows] = values.cpu()
    return Losses(results[0], results[1] if divergence else None)


@dataclass(frozen=True)
class Chunk:
    """Interventions, by their indices, that climb together, and the layer that they begin at."""

    members: Sequence[int]
    start: int


def _chunks(interventions: Sequence[Intervention], span: int) -> list[Chunk]:
    """Divide interventions, those that begin lowest first; the first chunk takes the dense model along from below."""
    order = sorted(range(len(interventions)), key=lambda index: interventions[index].first_layer)
    parts = [order[begin : begin + span] for begin in range(0, max(1, len(order)), span)]
    return [Chunk(part, interventions[part[0]].first_layer if number else 0) for number, part in enumerate(parts)]


def _held(adapter: ModelAdapter, windows: Tensor, batch_size: int) -> int:
    weight = adapter.model.get_input_embeddings().weight
    stream = windows.shape[1] * weight.shape[1] * weight.element_size()
    return max(HELD * batch_size, int(SHARE_OF_HOST * free_memory(torch.device("cpu")) // stream))


def _climb_all(
    climbing: Callable[..., Climb],
    adapter: ModelAdapter,
    part: Tensor,
    interventions: Sequence[Intervention],
    chunks: Sequence[Chunk],
    divergence: bool,
    watch: Watch | None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield rows of the results of some windows, float64 ``[2, windows]``: loss and divergence.

    The first climb takes the dense stream to the top, and leaves a copy where each of the other chunks begins.
    """
    saved: dict[int, Tensor] = {}
    for number, chunk in enumerate(chunks):
        silent = [interventions[index].silent for index in chunk.members]
        below = saved[chunk.start].to(part.device) if number else adapter.embed(part)
        climb = climbing(dense=below, start=chunk.start, silent=silent)
        if not number:
            saved = climb.run(alone=True, save=frozenset(other.start for other in chunks[1:]), watch=watch)
            top = adapter.normed(climb.stream(climb.dense).to(part.device))
        else:
            climb.run(alone=False)
        for slot, values in zip(climb.slots, _heads(adapter, climb, top, part, divergence), strict=True):
            for member in slot.members:
                yield 0 if member == DENSE else 1 + chunk.members[member], values


def _heads(adapter: ModelAdapter, climb: Climb, dense: Tensor, part: Tensor, divergence: bool) -> Tensor:
    """Return loss and divergence of each slot, float64 ``[slots, 2, windows]``.

    Args:
        dense: what the head reads of the dense model, ``[windows, tokens, d]``. part: the windows.
    """
    streams = climb.streams.unflatten(0, (-1, len(part)))
    places = [slot.place for slot in climb.slots]
    found = torch.zeros(len(places), 2, len(part), dtype=torch.float64, device=part.device)
    for window, tokens in enumerate(part):
        if divergence:
            hidden = adapter.normed(_streams(streams, places, window, part.device))
            sums = losses_and_divergences(adapter.model.get_output_embeddings(), hidden, dense[window], tokens)
            found[:, 0, window], found[:, 1, window] = sums[0] / (len(tokens) - 1), sums[1] / len(tokens)
            continue
        for begin in range(0, len(places), climb.call):
            hidden = _streams(streams, places[begin : begin + climb.call], window, part.device)
            targets = tokens[1:].expand(len(hidden), -1)
            losses = token_losses(adapter.logits, hidden[:, :-1], targets).sum(dim=1, dtype=torch.float64)
            found[begin : begin + climb.call, 0, window] = losses / (len(tokens) - 1)
    return found


def _streams(streams: Tensor, places: Sequence[int], window: int, device: torch.device) -> Tensor:
    return torch.stack([streams[place, window] for place in places]).to(device)
