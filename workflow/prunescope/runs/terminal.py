"""What a run says as it goes: a line per step as it starts and ends, and bars where somebody watches.

A step says what matters in the last line of its log, and how far it is in the lines of `Progress`.
"""

import re
import sys
import time
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from snakemake.exceptions import WorkflowError
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.errors import ConfigError
from prunescope.runs.arguments import check_config_files
from prunescope.runs.estimates import duration
from prunescope.runs.failures import why_failed
from prunescope.runs.logs import reached, result, warnings
from prunescope.runs.slurm import SUBMITTED, asked_by
from prunescope.steps.table import RULES

WHAT, BRIEFLY = 50, 28
"""Columns for what a step does, so that times stand below each other: where experiments are named, and where not."""
BAR = 12
"""Columns for the bar of a step under way."""
NOISE = re.compile(
    # of every run
    r"(Building DAG of jobs|Assuming unrestricted shared|Using shell: |Select jobs to execute|Execute \d+ jobs|host: "
    r"|Complete log\(s\): |Elapsed time: "
    # of a dry run, beside reasons
    r"|Reasons:\n|Some jobs were triggered by provenance"
    # of every run on Slurm
    r"|Using workflow specific profile |SLURM run ID: |MinJobAge |No SLURM account given|No account was given"
    r"|Unable to guess SLURM account|Cleaning up SLURM log files |Falling back to 'sacct'"
    # of a step that failed, beside what the step has said
    r"|Exiting because a job|Removing output files of failed job|WorkflowError:\nAt least one job did not complete)"
    r"|[\s\S]*returned non-zero exit status"
)
"""What Snakemake says and nobody needs; it is in its own log."""
OURS = "prunescope"
"""Attribute of records that we log ourselves: `left` (the time), `plan` (with `only`, see `shortened`), or `said`."""


@dataclass
class Running:
    """A step under way."""

    number: int
    what: str
    log: Path
    asks: str = ""
    begin: float = field(default_factory=time.monotonic)
    spinner: Spinner = field(default_factory=lambda: Spinner("line"))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin


class LogHandler(LogHandlerBase):
    """Shows Snakemake's events to people.

    Whoever asks for Snakemake's own messages (``--verbose``, ``--printshellcmds``, ``--debug-dag``, ``--quiet``) gets
    those instead: also a dry run's reasons.
    """

    has_filter = has_formatter = True
    writes_to_file = needs_rulegraph = False

    def __post_init__(self) -> None:
        # Before Snakemake reads the files, where a missing one would end in a traceback.
        try:
            check_config_files(sys.argv)
        except ConfigError as error:
            raise WorkflowError(str(error)) from None
        self.console = Console(stderr=not self.common_settings.stdout, no_color=self.common_settings.nocolor or None)
        self.running: dict[int, Running] = {}
        self.began = time.time()
        self.started, self.steps, self.left = 0, 0, ""
        self.only = ""  # the experiment, where there is one
        self.live = Live(console=self.console, get_renderable=self._under_way, refresh_per_second=2, transient=True)

    @property
    def writes_to_stream(self) -> bool:
        """Whether this handler is the one that writes; Snakemake adds its own where it is not."""
        return shows_steps(self.common_settings)

    def emit(self, record: LogRecord) -> None:
        if not self.writes_to_stream:
            return
        try:
            self._show(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self.live.stop()
        super().close()

    def _show(self, record: LogRecord) -> None:
        match getattr(record, "event", None):
            case LogEvent.RUN_INFO:
                stats: dict[str, int] = getattr(record, "stats", {})
                self.steps = sum(count for rule, count in stats.items() if rule in RULES)
            case LogEvent.JOB_INFO:
                self._start(record)
            case LogEvent.JOB_FINISHED:
                self._end(getattr(record, "job_id", -1))
            case LogEvent.JOB_ERROR:
                self._fail(record)
            case LogEvent.ERROR | None:
                self._say(record)

    def _start(self, record: LogRecord) -> None:
        told: Any = record
        if told.rule_name not in RULES or not told.log:  # a target, not a step
            return
        self.started += 1
        what = shortened(told.rule_msg, self.only)
        step = Running(self.started, what, Path(told.log[0]), asked_by(record))
        if self.common_settings.dryrun:
            self._print(f"{self._count(step)}  {step.what}")
            return
        self.running[told.jobid] = step
        if self.console.is_terminal:
            self.live.start()
        else:
            left = f" ({self.left})" if self.left else ""
            self._print(f"{self._count(step)}  {step.what} ...{left}")

    def _end(self, job: int) -> None:
        if (step := self.running.pop(job, None)) is None:
            return
        did = f"{self._count(step)}  {step.what:<{BRIEFLY if self.only else WHAT}} {duration(step.seconds):>6}"
        self._print(f"{did}  {result(step.log)}".rstrip(), clip=True)
        for warning in warnings(step.log):
            self._print(f"warning: {warning} ({step.log})", "yellow")

    def _fail(self, record: LogRecord) -> None:
        if step := self.running.pop(getattr(record, "jobid", -1), None):
            why = why_failed(record, self.began, step.asks)
            self._print(f"{self._count(step)}  {step.what} failed: {why} ({step.log})", "red", clip=True)

    def _say(self, record: LogRecord) -> None:
        """Print what we log ourselves, and what Snakemake says of other matters than steps."""
        said, ours = record.getMessage(), getattr(record, OURS, None)
        if (sent := SUBMITTED.match(said)) and (step := self.running.get(int(sent[1]))):
            self._print(f"{self._count(step)}  {step.what} is Slurm job {sent[2]}: {step.asks}")
        elif ours == "left":
            about, untimed, _ = said.partition("; ")
            self.left = f"{about}{', or more' if untimed else ''}" if about.startswith("about") else ""
        elif ours == "plan":
            self.only = getattr(record, "only", "")
            if said:
                self.console.print(Text(said), soft_wrap=not self.console.is_terminal)
        elif ours or not NOISE.match(said):
            self._print(said, "red" if record.levelno > WARNING else "yellow" if record.levelno == WARNING else "")

    def _count(self, step: Running) -> str:
        return f"{step.number:>{len(str(self.steps))}}/{self.steps}"

    def _print(self, said: str, style: str = "", clip: bool = False) -> None:
        """Print lines in full or, where somebody watches and `clip` says so, as far as they fit."""
        if clip and self.console.is_terminal:
            self.console.print(Text(said, style=style), overflow="ellipsis", no_wrap=True)
        else:
            self.console.print(Text(said, style=style), soft_wrap=True)

    def _under_way(self) -> RenderableType:
        """Draw the steps under way: a bar for those that say how far they are."""
        steps = list(self.running.values())
        what = min(max((len(step.what) for step in steps), default=0), max(20, self.console.width - 52))
        widths = [len(f"{self.steps}/{self.steps}"), what, 6, BAR]
        rows = Table.grid(padding=(0, 1))
        for width in (*widths, max(10, self.console.width - sum(widths) - len(widths))):
            rows.add_column(width=width, no_wrap=True)
        for step in steps:
            far = reached(step.log)
            bar = ProgressBar(total=far.total, completed=far.done, width=BAR) if far else ""
            rows.add_row(step.spinner, Text(step.what), duration(step.seconds), bar, Text(far.said if far else ""))
        done = f"{self.started - len(steps)} of {self.steps} steps"
        return Group(rows, Text(", ".join(filter(None, [done, self.left])), style="dim"))


def shows_steps(settings: Any) -> bool:
    """Whether Snakemake's settings leave it to us what a run says."""
    asked = (settings.verbose, settings.printshellcmds, settings.debug_dag, settings.quiet)
    return not any(asked)


def shortened(message: str, only: str = "") -> str:
    """Return what a rule says that it does, without the digests of keys, and without the model of an experiment.

    Args:
        only: the experiment, ``model/name``, where there is no other: it, and keys, need not be told.
    """
    if only:
        message = re.sub(rf"(?: (?:of|for))? {re.escape(only)}(?=\s|$)| \S+-[0-9a-f]{{8}}\b", "", message)
    return re.sub(r"-[0-9a-f]{8}\b|\b[^\s/]+/(?=\S)", "", message)
