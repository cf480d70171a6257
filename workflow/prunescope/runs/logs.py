"""What the log of a step says."""

from pathlib import Path

from prunescope.progress import WARNING, Reached

OWN = "prunescope: "
"""Begins the sentence of an error."""


def last_words(log: Path) -> str:
    """Return why a step failed: our own sentence or, where there is none, the last line."""
    lines = _lines(log)
    own = [line.removeprefix(OWN) for line in lines if line.startswith(OWN)]
    return next(reversed(own or lines), "")


def result(log: Path) -> str:
    """Return what came out of a step: its last line, of a line of progress the rate and what it notes."""
    last = next((line for line in reversed(_lines(log)) if not line.startswith(WARNING)), "")
    far = Reached.read(last)
    return far.said if far else last


def warnings(log: Path) -> list[str]:
    """Return our own warnings, each once."""
    return list(dict.fromkeys(line.removeprefix(WARNING) for line in _lines(log) if line.startswith(WARNING)))


def reached(log: Path) -> Reached | None:
    """Return how far a step is; None where its last line does not say it."""
    lines = _lines(log)
    return Reached.read(lines[-1]) if lines else None


def _lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
