"""What the log of a step says."""

from pathlib import Path

from prunescope.progress import WARNING, Reached

END = 2000
"""Bytes at the end of a log that hold its last line: it is looked at several times a second."""
OWN = "prunescope: "
"""Begins the sentence of an error."""
SILENT = "its log is empty: it was killed, perhaps for want of memory"
KILLED = "it was killed, perhaps for want of memory, at '{}'"


def last_words(log: Path) -> str:
    """Return why a step failed: our own sentence or, where there is none, the last line; of one that was killed
    without a word, how far it was.
    """
    lines = _lines(log)
    own = [line.removeprefix(OWN) for line in lines if line.startswith(OWN)]
    last = next(reversed(own or lines), "")
    if not last:
        return SILENT
    return KILLED.format(last) if not own and Reached.read(last) else last


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
    lines = _lines(log, END)
    return Reached.read(lines[-1]) if lines else None


def _lines(log: Path, end: int = 0) -> list[str]:
    """Return the lines that are not empty; of the last `end` bytes alone, unless that is 0."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - end) if end else 0)
        text = file.read().decode("utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
