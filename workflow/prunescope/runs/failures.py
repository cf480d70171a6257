"""The end of a run that failed: which experiments are missing, and why: by Slurm or by the log of the step."""

import logging
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.runs.logs import SILENT, last_words
from prunescope.runs.slurm import asked_by, why_ended, why_refused
from prunescope.steps.planned import Planned, PlannedSweep
from prunescope.steps.registry import Target


def why_failed(record: logging.LogRecord, since: float, asks: str) -> str:
    """Return why a step failed, from what Snakemake logs then.

    Args:
        since: Unix time when the run began; an older log is of another run. asks: what its job asks for.
    """
    logs = [Path(log) for log in getattr(record, "log", [])]  # the step's, and what Slurm wrote of the job
    output = logs[1] if len(logs) > 1 else None
    job = getattr(record, "aux", {}).get("external_jobid")
    said = why_ended(job, getattr(record, "rule_name", ""), output) if job else ""
    said = said or why_refused(getattr(record, "rule_msg", None) or "", asks)
    if said:
        return said
    if logs and logs[0].is_file() and logs[0].stat().st_mtime >= since:
        return last_words(logs[0])
    return f"it did not begin: see {output}" if output and output.is_file() else SILENT


class Failed(logging.Handler):
    """Remembers why steps failed, by their log; `since`: as in `why_failed`."""

    def __init__(self, since: float) -> None:
        super().__init__()
        self.since, self.asks, self.why = since, dict[int, str](), dict[str, str]()

    def emit(self, record: logging.LogRecord) -> None:
        event, job = getattr(record, "event", None), getattr(record, "jobid", -1)
        if event == LogEvent.JOB_INFO:
            self.asks[job] = asked_by(record)
        elif event == LogEvent.JOB_ERROR and (log := getattr(record, "log", [])):
            self.why[str(log[0])] = why_failed(record, self.since, self.asks.get(job, ""))


def report_failures(
    targets: Iterable[Target], sweeps: Iterable[PlannedSweep], since: float, failed: Mapping[str, str] = {}
) -> str:
    """Say of every experiment, file of one and sweep what is missing and why; compare what there is of each sweep.

    Args:
        since: Unix time when the run began; older logs are of other runs. failed: logs of steps that failed, and why.
    """
    lines = []
    for target in targets:
        why = why_missing(target.planned, since, target.file, failed)
        experiment = target.planned.experiment
        lines += [f"{experiment.model} / {experiment.name}: {why}"] if why else []
    for sweep in sweeps:
        lines += _conclude(sweep, since, failed)
    return "\n".join(["", "What failed:", *lines]) if lines else ""


def why_missing(planned: Planned, since: float, file: str = "", failed: Mapping[str, str] = {}) -> str | None:
    """Return why the first step that failed did, None where nothing is missing.

    Args:
        file: what was asked for of the experiment; empty: all of it. failed: logs of steps that failed, and why.
    """
    exports = [task for task in planned.exports(file) if not planned.done(task)]
    missing = planned.missing()
    for task in [*missing, *exports]:
        for log in task.logs:
            fresh = log.is_file() and log.stat().st_mtime >= since
            if said := failed.get(str(log)) or (last_words(log) if fresh else ""):
                return f"{task.label}: {said} ({log})"
    if planned.exports(file):
        missing = exports
    elif file and Path(planned.directory, file).exists():
        return None
    what = file or (missing[0].label if missing else "")
    return f"{what}: did not run; a step before it failed, or the run was stopped" if missing else None


def _conclude(sweep: PlannedSweep, since: float, steps: Mapping[str, str]) -> list[str]:
    found = {name: why_missing(planned, since, failed=steps) for name, planned in sweep.planned.items()}
    failed = {name: why for name, why in found.items() if why}
    missing = sweep.impossible | failed
    if not missing:
        return []
    finished = len(sweep.members) - len(missing)
    lines = [f"sweep {sweep.name} on {sweep.model}: {finished} of {len(sweep.members)} experiments finished"]
    lines += [f"  {name}: {why}" for name, why in missing.items()]
    if finished and (not failed or _compare(sweep, failed)):
        lines.append(f"  compared: {sweep.page}")
    return lines


def _compare(sweep: PlannedSweep, failed: dict[str, str]) -> bool:
    """Compare what there is, which Snakemake does only when nothing failed."""
    spec = sweep.spec(failed, partial=True)
    return subprocess.run(["prunescope", "run", spec.step, sweep.directory, "--spec", spec.text()]).returncode == 0
