"""Partial sums on disk: a pass that is killed goes on from the last batch that was saved, with the same result."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunescope.files import replacing

log = logging.getLogger(__name__)

INTERVAL = 600.0
"""Seconds after which a long pass saves its sums, unless it is told after how many batches."""


@dataclass(frozen=True)
class Reached:
    """How far a pass had come: its batches of `batch_size` windows, and the summed loss of those that are done.

    Attributes:
        layers: those that are done on the way down, of a pass that goes layer by layer.
    """

    batch_size: int
    batches: int
    loss_sum: float
    layers: int = 0


class HasSums(Protocol):
    """A collector, or whatever else a pass must find again: sums by name."""

    sums: dict[str, Tensor]


class PartialSums:
    """The sums of a pass under way, in the file `path`.

    Attributes:
        identity: what the pass depends on; sums of another pass are not taken up.
        every: batches between two savings; None: about `INTERVAL` seconds.
    """

    def __init__(self, path: Path, identity: str, every: int | None = None) -> None:
        self.path, self.identity, self.every = path, identity, every
        self.saved_at = time.monotonic()

    def reached(self) -> Reached | None:
        """Return how far the pass had come; None: it begins."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata()
        except SafetensorError as error:
            log.warning("%s is damaged (%s) and is not used", self.path, error)
            return None
        if metadata["identity"] != self.identity:
            log.warning("%s belongs to another gradient pass and is not used", self.path)
            return None
        return Reached(**json.loads(metadata["reached"]))

    def restore(self, collectors: Sequence[HasSums]) -> None:
        """Give the collectors back what they had gathered."""
        by_name = {type(collector).__name__: collector for collector in collectors}
        with safe_open(self.path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                owner, rest = name.split(":", 1)
                by_name[owner].sums[rest] = file.get_tensor(name)

    def save_if_due(self, reached: Reached, collectors: Sequence[HasSums]) -> None:
        """Save after every `every` batches or `INTERVAL` seconds."""
        due = (
            (reached.layers or reached.batches) % self.every == 0
            if self.every
            else time.monotonic() - self.saved_at >= INTERVAL
        )
        if due:
            self._save(reached, collectors)
            self.saved_at = time.monotonic()

    def _save(self, reached: Reached, collectors: Sequence[HasSums]) -> None:
        sums = {
            f"{type(collector).__name__}:{name}": values.contiguous()
            for collector in collectors
            for name, values in collector.sums.items()
        }
        metadata = {"identity": self.identity, "reached": json.dumps(vars(reached))}
        with replacing(self.path) as temporary:
            save_file(sums, temporary, metadata)
        layers = f", {reached.layers} layers" if reached.layers else ""
        log.info("saved the sums of %s batches%s", reached.batches, layers)

    def discard(self) -> None:
        """Delete the file: the pass is complete, or must begin anew."""
        self.path.unlink(missing_ok=True)
