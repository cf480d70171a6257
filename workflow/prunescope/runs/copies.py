"""Projects that were copied without the times of their files, by which Snakemake decides what to run again."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from prunescope.errors import DataError
from prunescope.runs.preflight import changed
from prunescope.steps.planned import Planned
from prunescope.steps.step import Task

SLACK = 60.0
"""Seconds between the end of a step, in its record, and the last of its files."""

COMPARED = 1_000_000
"""Bytes up to which Snakemake compares the content of a newer input; of folders and larger files it does not."""


def copied(planned: Planned) -> str | None:
    """Say that steps of an experiment will run again only because its files were copied; None where that is not so."""
    again = [task.label for task in planned.tasks.values() if task.done and _overtaken(planned, task) and _copied(task)]
    if not again or changed(planned):
        return None
    return (
        f"{planned.directory}: its files are as they were made, but were copied without their times, so that "
        f"{', '.join(dict.fromkeys(again))} and what follows run again; to keep what is there: "
        f"snakemake --cores 1 --touch {planned.directory} (copy with cp -a or rsync -a, which keep the times)"
    )


def _overtaken(planned: Planned, task: Task) -> bool:
    """Say whether something that a step reads, and whose time alone counts, is newer than what the step left."""
    times = list(_times(path for path in planned.needs(task) if _by_time(Path(path))))
    return bool(times) and max(times) > min(_times(task.outputs))


def _by_time(path: Path) -> bool:
    return path.is_dir() or (path.exists() and path.stat().st_size > COMPARED)


def _copied(task: Task) -> bool:
    """Say whether the record of a step is older than its file."""
    if task.record is None:
        return False
    try:
        return next(_times([task.record.path]), 0.0) > task.record.read().finished + SLACK
    except DataError:
        return False


def _times(paths: Iterable[str | Path]) -> Iterator[float]:
    """Yield when each file that is there was last changed; of a folder what Snakemake notes in it counts."""
    for path in map(Path, paths):
        noted = path / ".snakemake_timestamp"
        if path.exists():
            yield (noted if noted.exists() else path).stat().st_mtime
