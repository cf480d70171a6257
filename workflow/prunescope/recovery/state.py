"""The state of a training run on disk: one that is killed goes on from the last step that was saved."""

import logging
import shutil
import time
from pathlib import Path

from prunescope.files import write_text

log = logging.getLogger(__name__)

INTERVAL = 300.0
"""Seconds after which a long run saves its state, unless it is told after how many steps."""

COMPLETE = "complete.txt"
"""Written last into a saved state: the identity of its run."""


class TrainingState:
    """The folder where a run saves its state: what is trained, optimizer, schedule and random numbers.

    Attributes:
        identity: all that the run depends on; the state of another run is not used. every: steps between two savings;
            None: about `INTERVAL` seconds.
    """

    def __init__(self, folder: Path, identity: str, every: int | None = None) -> None:
        self.folder, self.identity, self.every = folder, identity, every
        self.saved_at = time.monotonic()

    def at(self, step: int) -> Path:
        """Return the folder of the state after so many steps, as transformers names it."""
        return self.folder / f"checkpoint-{step}"

    def latest(self) -> int:
        """Return the last step whose state is complete; 0: the run begins, and what another run left is deleted."""
        found = list(self.folder.glob(f"checkpoint-*/{COMPLETE}"))
        if any(file.read_text(encoding="utf-8") != self.identity for file in found):
            log.warning("%s belongs to another training run and is not used", self.folder)
            self.discard()
            return 0
        return max((int(file.parent.name.rpartition("-")[2]) for file in found), default=0)

    def due(self, step: int) -> bool:
        """Say whether the state after `step` steps is to be saved."""
        return step % self.every == 0 if self.every else time.monotonic() - self.saved_at >= INTERVAL

    def complete(self, step: int) -> None:
        """Mark the state after `step` steps as saved."""
        write_text(self.at(step) / COMPLETE, self.identity)
        self.saved_at = time.monotonic()
        log.info("saved the state after %s steps", step)

    def discard(self) -> None:
        """Delete the folder: the run is complete, or must begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
