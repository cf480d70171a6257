"""About how long a run still takes, said beside Snakemake's count of its steps."""

import logging
from collections.abc import Iterable

from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.runs.banner import duration
from prunescope.runs.estimates import estimate
from prunescope.steps.planned import Planned


def time_left(experiments: Iterable[Planned]) -> str:
    """Return about how long the missing steps take, such as ``about 12 min left``; empty where none is timed.

    A step that runs now counts in full; each step that finishes makes the estimate of its kind better.
    """
    seconds, unknown = estimate(task for planned in experiments for task in planned.missing())
    said = f"about {duration(seconds)} left" if seconds else ""
    untimed = f"never timed yet: {', '.join(unknown)}" if unknown else ""
    return "; ".join(part for part in (said, untimed) if part)


class TimeLeft(logging.Handler):
    """Logs the time that is left whenever Snakemake reports progress and it has changed."""

    def __init__(self, experiments: Iterable[Planned], logger: logging.Logger) -> None:
        super().__init__()
        self.experiments, self.logger, self.said = list(experiments), logger, ""

    def emit(self, record: logging.LogRecord) -> None:
        done, total = getattr(record, "done", 0), getattr(record, "total", 0)
        if getattr(record, "event", None) != LogEvent.PROGRESS or done >= total:
            return
        said = time_left(self.experiments)
        if said and said != self.said:
            self.logger.info(said)
        self.said = said
