"""The state of a training run on disk: one that is killed goes on from the last step that was saved."""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from prunescope.files import read_json, write_json

log = logging.getLogger(__name__)

INTERVAL = 300.0
"""Seconds after which a long run saves its state, unless it is told after how many steps."""

COMPLETE = "complete.json"
"""Written last into a saved state: of what run it is."""


@dataclass(frozen=True)
class Saved:
    """A saved state: adapters (safetensors), optimizer, schedule and random numbers after `step` steps."""

    folder: Path
    step: int


class TrainingState:
    """The folder where a run saves its state.

    Attributes:
        identity: all that the run depends on; the state of another run is not taken up. every: steps between two
            savings; None: about `INTERVAL` seconds.
    """

    def __init__(self, folder: Path, identity: str, every: int | None = None) -> None:
        self.folder, self.identity, self.every = folder, identity, every
        self.saved_at = time.monotonic()

    def latest(self) -> Saved | None:
        """Return the last state that was saved completely; None: the run begins, and what another run left is gone."""
        files = list(self.folder.glob(f"checkpoint-*/{COMPLETE}"))
        found = [(read_json(file), file.parent) for file in files]
        if any(content["identity"] != self.identity for content, _ in found):
            log.warning("%s belongs to another training run and is not used", self.folder)
            self.discard()
            return None
        states = [Saved(folder, content["step"]) for content, folder in found]
        return max(states, key=lambda saved: saved.step, default=None)

    def due(self, step: int) -> bool:
        """Say whether the state after `step` steps is to be saved."""
        return step % self.every == 0 if self.every else time.monotonic() - self.saved_at >= INTERVAL

    def complete(self, step: int) -> None:
        """Mark the state after `step` steps as saved."""
        write_json(self.folder / f"checkpoint-{step}" / COMPLETE, {"identity": self.identity, "step": step})
        self.saved_at = time.monotonic()
        log.info("saved the state after %s steps", step)

    def discard(self) -> None:
        """Delete the folder: the run is complete, or must begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
