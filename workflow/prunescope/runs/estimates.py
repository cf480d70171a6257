"""About how long steps, and what is left of a run, take: as long as the same step of the same model took before."""

import csv
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import RESULTS, ExperimentFolder, SharedFolder
from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError
from prunescope.steps.planned import Planned
from prunescope.steps.step import LOGS, SHARDS, Task


def estimate(todo: Iterable[Task]) -> tuple[float, list[str]]:
    """Return about how many seconds tasks will take, and the labels of those that were never timed before."""
    times = {task: seconds(task) for task in dict.fromkeys(todo) if task.step.timed}
    unknown = {task.label for task, found in times.items() if found is None}
    return sum(found for found in times.values() if found is not None), sorted(unknown)


def seconds(task: Task) -> float | None:
    """Return about how long a task will take, the median of earlier runs; None when it was never timed.

    The time of a step that reads calibration text grows with its tokens.
    """
    tokens = _tokens(task.key)
    times = [
        _scaled(file, tokens / _tokens(file.parent.name))
        for file in Path().glob(_earlier(task))
        if (tokens > 1) == (_tokens(file.parent.name) > 1)
    ]
    known = [time for time in times if time is not None]
    return median(known) if known else None


def _earlier(task: Task) -> str:
    """Return the pattern of Snakemake's measurements of the same step and model."""
    model = Path(task.folder).parts[1]
    if task.step.shared:
        return f"{RESULTS}/{model}/_shared/{task.step.name}/*/{SharedFolder.benchmark.path}"
    return f"{LOGS}/{model}/*/{task.name}.{SharedFolder.benchmark.path}"


def _tokens(key: str) -> int:
    """Return the calibration tokens that a key such as ``wiki_n32_s128-3f017b8b`` names, 1 where it names none."""
    match = re.search(r"_n(\d+)_s(\d+)-[0-9a-f]{8}$", key)
    return int(match[1]) * int(match[2]) if match else 1


def _scaled(benchmark: Path, factor: float) -> float | None:
    """Return the seconds of a run with `factor` times its work: start-up, which the record leaves out, stays.

    None where several jobs shared the work, and where a file is damaged: no estimate is worth an error.
    """
    entry = _record(benchmark)
    try:
        total = _total(benchmark)
        record = entry.read() if entry.exists() else None
        if record and SHARDS in record.tags:
            return None
        work = min(record.seconds, total) if record else total
    except (DataError, OSError, ValueError, KeyError, TypeError):
        return None
    return total - work + work * factor


def _record(benchmark: Path) -> Entry[StepRecord]:
    """Return the record of the run that was measured."""
    if benchmark.name == SharedFolder.benchmark.path:
        return SharedFolder(benchmark.parent).record
    _, model, experiment, name = benchmark.parts[-4:]
    folder = ExperimentFolder.of(model, experiment)
    return folder.named(ExperimentFolder.record, step=name.partition(".")[0])


def _total(benchmark: Path) -> float:
    with benchmark.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return float(rows[-1]["s"]) if rows else 0.0


def time_left(experiments: Iterable[Planned]) -> str:
    """Return about how long the missing steps take, such as ``about 12 min left``; empty where none is timed.

    A step that runs now counts in full; each step that finishes makes the estimate of its kind better.
    """
    seconds, unknown = estimate(task for planned in experiments for task in planned.missing())
    said = f"about {duration(seconds)} left" if seconds else ""
    untimed = f"never timed yet: {', '.join(unknown)}" if unknown else ""
    return "; ".join(part for part in (said, untimed) if part)


class TimeLeft(logging.Handler):
    """Logs the time that is left whenever Snakemake reports progress and it has changed, marked as `left`."""

    def __init__(self, experiments: Iterable[Planned], logger: logging.Logger) -> None:
        super().__init__()
        self.experiments, self.logger, self.said = list(experiments), logger, ""

    def emit(self, record: logging.LogRecord) -> None:
        done, total = getattr(record, "done", 0), getattr(record, "total", 0)
        if getattr(record, "event", None) != LogEvent.PROGRESS or done >= total:
            return
        said = time_left(self.experiments)
        if said and said != self.said:
            self.logger.info(said, extra={"prunescope": "left"})
        self.said = said


def duration(seconds: float) -> str:
    """Return a rough time for people: ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
