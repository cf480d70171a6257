"""Progress of long loops: one plain line now and then, with rate and time left."""

import logging
import time

log = logging.getLogger("prunescope")


class Progress:
    """Report progress every `interval` seconds and at the end.

    Example line: ``gradients: 2,048 / 4,096 tokens, 143 tokens/s, 14 s left, loss 3.214``.
    """

    def __init__(self, what: str, total: int, unit: str, interval: float = 10.0) -> None:
        self.what, self.total, self.unit, self.interval = what, total, unit, interval
        self.done = self.skipped = 0
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
        if now - self.reported < self.interval and self.done < self.total:
            return
        self.reported = now
        rate = self.rate
        left = (self.total - self.done) / rate
        ending = f", {left:,.0f} s left" if self.done < self.total else f", done in {now - self.begin:,.1f} s"
        log.info(
            "%s: %s / %s %s, %s %s/s%s%s",
            self.what,
            f"{self.done:,}",
            f"{self.total:,}",
            self.unit,
            f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}",
            self.unit,
            ending,
            f", {note}" if note else "",
        )
