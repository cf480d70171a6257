"""Residual streams on the way up: the dense one, and forks of it where interventions begin to differ."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from prunescope.artifacts.facts import KINDS, BlockKind
from prunescope.models.sweep import Sweep
from prunescope.progress import Progress
from prunescope.trial.stand_ins import Heard, StandIns

Silent = Mapping[str, tuple[int, ...] | None]
"""By block (``"3.mlp"``) its groups that are silent, ascending; None: all, so that the block adds exactly zero."""

Watch = Callable[[int, Tensor, Tensor, Tensor], None]
"""Is shown a layer and the dense stream before it, between its blocks and after it, ``[windows, tokens, d]`` each."""

DENSE = -1
"""Stands for the model without any intervention."""


@dataclass(frozen=True)
class Slot:
    """A stream of all windows, and the interventions that share it so far (indices, or `DENSE`)."""

    place: int
    members: tuple[int, ...]


class Climb:
    """Runs some windows up the layers, with all their streams in one tensor, slot after slot.

    Args:
        dense: the stream of the dense model before layer `start`, ``[windows, tokens, d]``.
        silent: what each intervention silences. call: streams of windows that a layer takes at a time.
        device: where the streams are kept. progress: counts layers.
        stand_ins: what plays the groups that are silent in a block that is not; None: nothing does.
    """

    def __init__(
        self,
        sweep: Sweep,
        dense: Tensor,
        start: int,
        silent: Sequence[Silent],
        call: int,
        device: torch.device,
        progress: Progress,
        stand_ins: StandIns | None = None,
    ) -> None:
        self.progress, self.stand_ins = progress, stand_ins
        self.sweep, self.adapter, self.silent, self.call = sweep, sweep.adapter, silent, call
        self.start, self.windows, self.computes = start, len(dense), dense.device
        self.streams = torch.empty((1 + len(silent)) * len(dense), *dense.shape[1:], dtype=dense.dtype, device=device)
        self.streams[: len(dense)] = dense
        self.groups = {(block.facts.layer, block.facts.block): block.facts.groups for block in self.adapter.blocks}
        self.slots = [Slot(0, (DENSE, *range(len(silent))))]
        self.used = 1

    def stream(self, slot: Slot) -> Tensor:
        """Return the stream of a slot, where it is kept: ``[windows, tokens, d]``."""
        return self.streams[slot.place * self.windows : (slot.place + 1) * self.windows]

    @property
    def dense(self) -> Slot:
        """The slot of the dense stream."""
        return next(slot for slot in self.slots if DENSE in slot.members)

    def run(self, alone: bool, save: frozenset[int] = frozenset(), watch: Watch | None = None) -> dict[int, Tensor]:
        """Climb to the top.

        Args:
            alone: whether the dense stream goes on when no intervention shares it any more.
            save: layers before which the dense stream is copied. watch: see `Watch`.

        Returns:
            the copies, by layer.
        """
        saved = {}
        for layer in range(self.start, len(self.adapter.layers)):
            if layer in save:
                saved[layer] = self.stream(self.dense).clone()
            self._pass(layer, alone, watch)
            self.progress.advance(1, f"{len(self.slots)} streams of {self.windows} windows at layer {layer}")
        return saved

    def _pass(self, layer: int, alone: bool, watch: Watch | None) -> None:
        """Take all streams through a layer: those that fork, and the dense one if it is watched, block by block."""
        halting = [slot for slot in self.slots if self._forks(slot, layer) or (watch and DENSE in slot.members)]
        whole = [slot for slot in self.slots if slot not in halting]
        self._compute(layer, whole, KINDS)
        seen = []
        for kind in KINDS:
            if watch:
                seen.append(self.stream(self.dense).clone())
            halting = [child for slot in halting for child in self._fork(slot, layer, kind)]
            halting = [slot for slot in halting if alone or slot.members != (DENSE,)]
            self.slots = whole + halting
            self._compute(layer, [slot for slot in halting if self._silent(slot, layer, kind) is not None], (kind,))
        if watch:
            watch(layer, seen[0], seen[1], self.stream(self.dense))

    def _silent(self, slot: Slot, layer: int, kind: BlockKind) -> tuple[int, ...] | None:
        """Return the groups of a block that are silent in a slot whose members agree about it."""
        first = slot.members[0]
        return () if first == DENSE else self.silent[first].get(f"{layer}.{kind}", ())

    def _parts(self, slot: Slot, layer: int, kind: BlockKind) -> dict[tuple[int, ...] | None, tuple[int, ...]]:
        """Divide the members of a slot by what they silence in a block; the dense model's part comes first."""
        parts: dict[tuple[int, ...] | None, tuple[int, ...]] = {}
        for member in slot.members:
            silent = self._silent(Slot(0, (member,)), layer, kind)
            parts[silent] = (*parts.get(silent, ()), member)
        return parts

    def _forks(self, slot: Slot, layer: int) -> bool:
        """Whether a slot cannot go through a layer as one stream, both blocks at a time."""
        parts = [self._parts(slot, layer, kind) for kind in KINDS]
        return any(len(part) > 1 or None in part for part in parts)

    def _fork(self, slot: Slot, layer: int, kind: BlockKind) -> Iterator[Slot]:
        """Yield a slot for each part of another; all hold the stream before the block."""
        places = [slot.place]
        for members in self._parts(slot, layer, kind).values():
            if not places:
                places, self.used = [self.used], self.used + 1
                self.stream(Slot(places[0], ())).copy_(self.stream(slot))
            yield Slot(places.pop(), members)

    def _compute(self, layer: int, slots: Sequence[Slot], kinds: Sequence[BlockKind]) -> None:
        """Replace the streams of slots by those after a layer, or after one of its blocks."""
        owners = {slot.place * self.windows + window: slot for slot in slots for window in range(self.windows)}
        for begin, end in _ranges(sorted(owners), self.call):
            rows = self.streams[begin:end]
            with ExitStack() as stack:
                for kind in KINDS:
                    if kind not in kinds:
                        stack.enter_context(self.adapter.silenced(layer, kind))
                    elif heard := self._heard(layer, kind, [owners[row] for row in range(begin, end)]):
                        stack.enter_context(self.adapter.reading(layer, kind, heard))
                rows.copy_(self.sweep.run(layer, rows.to(self.computes)))

    def _heard(self, layer: int, kind: BlockKind, slots: Sequence[Slot]) -> Heard | None:
        """Return what the output projection of a block reads, a row per slot; None: its inputs, in every row."""
        silent = [self._silent(slot, layer, kind) or () for slot in slots]
        if not any(silent):
            return None
        mask = torch.ones(len(slots), self.groups[layer, kind], dtype=torch.bool)
        for row, groups in enumerate(silent):
            mask[row, list(groups)] = False
        mask, played = mask.to(self.computes), []
        if self.stand_ins:
            for groups, rows in groupby(range(len(slots)), silent.__getitem__):
                first, *others = rows
                if groups:
                    one = self.stand_ins.find(layer, kind, mask[first], groups, self.streams.dtype)
                    played.append((slice(first, first + 1 + len(others)), one))
        return Heard(mask, played)


def _ranges(rows: Sequence[int], longest: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of stretches of consecutive numbers, ascending, at most `longest` of them each."""
    begin = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end] != rows[end - 1] + 1 or end - begin == longest:
            yield rows[begin], rows[end - 1] + 1
            begin = end
