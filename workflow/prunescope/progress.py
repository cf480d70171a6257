"""What a step writes into its log: of long loops one plain line now and then, with rate and time left."""

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("prunescope")

WARNING = "warning: "
"""Begins our own warnings in the log of a step."""


class Progress:
    """Report progress every `interval` seconds and at the end.

    Example line: ``gradients: 2,048 / 4,096 tokens, 143 tokens/s, 14 s left, 3.1 GiB, loss 3.214``. The memory is what
    the process holds of its own, without files that it has mapped.

    Args:
        quick: work that may be over in no time: nothing is said of it at the end if nothing was said before.
    """

    def __init__(self, what: str, total: int, unit: str, interval: float = 10.0, quick: bool = False) -> None:
        self.what, self.total, self.unit, self.interval, self.quick = what, total, unit, interval, quick
        self.done = self.skipped = 0
        self.silent = True
        self.begin = self.reported = time.monotonic()

    @property
    def rate(self) -> float:
        """Units per second so far."""
        return (self.done - self.skipped) / max(time.monotonic() - self.begin, 1e-9)

    def skip(self, amount: int) -> None:
        """Count `amount` units as done by an earlier run: they say nothing about the rate."""
        self.done += amount
        self.skipped += amount

    def advance(self, amount: int, note: str = "") -> None:
        """Count `amount` more units as done."""
        self.done += amount
        now = time.monotonic()
        if now - self.reported < self.interval and (self.done < self.total or (self.quick and self.silent)):
            return
        self.reported, self.silent = now, False
        rate = self.rate
        left = (self.total - self.done) / rate
        ending = f", {left:,.0f} s left" if self.done < self.total else f", done in {now - self.begin:,.1f} s"
        log.info(
            "%s: %s / %s %s, %s %s/s%s%s%s",
            self.what,
            f"{self.done:,}",
            f"{self.total:,}",
            self.unit,
            f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}",
            self.unit,
            ending,
            _own_memory(),
            f", {note}" if note else "",
        )


@dataclass(frozen=True)
class Reached:
    """How far a loop was when it wrote a line: units done and in all, and rate, time left and note as they stand there.

    >>> Reached.read("gradients: 2,048 / 4,096 tokens, 143 tokens/s, 14 s left, 3.1 GiB, loss 3.214")
    Reached(done=2048, total=4096, said='143 tokens/s, 14 s left, loss 3.214')
    """

    done: int
    total: int
    said: str

    @classmethod
    def read(cls, line: str) -> "Reached | None":
        """Read a line of `Progress`; None for any other."""
        match = LINE.fullmatch(line)
        if match is None:
            return None
        done, total = (int(match[name].replace(",", "")) for name in ("done", "total"))
        return cls(done, total, ", ".join(part for part in match.group("rate", "left", "note") if part))


LINE = re.compile(
    r".+: (?P<done>[\d,]+) / (?P<total>[\d,]+) .+?, (?P<rate>[\d,.]+ .+?/s)"
    r"(?:, (?P<left>[\d,]+ s left)|, done in [\d,.]+ s)(?:, [\d.]+ GiB)?(?:, (?P<note>.+))?"
)


def _own_memory() -> str:
    """Return how much memory the process holds of its own, for a line of progress; nothing where nobody tells."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        held = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        return ""
    return f", {held / 2**20:.1f} GiB"
