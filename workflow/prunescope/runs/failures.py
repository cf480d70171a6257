"""The end of a run that failed: which experiments are missing and the line of their logs that says why."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from prunescope.runs.logs import last_words
from prunescope.steps.planned import Planned, PlannedSweep
from prunescope.steps.registry import Target


def report_failures(targets: Iterable[Target], sweeps: Iterable[PlannedSweep], since: float) -> str:
    """Say of every experiment, file of one and sweep what is missing and why; compare what there is of each sweep.

    Args:
        since: Unix time when the run began; older logs are of other runs.
    """
    lines = []
    for target in targets:
        why = why_missing(target.planned, since, target.file)
        experiment = target.planned.experiment
        lines += [f"{experiment.model} / {experiment.name}: {why}"] if why else []
    for sweep in sweeps:
        lines += _conclude(sweep, since)
    return "\n".join(["", "What failed:", *lines]) if lines else ""


def why_missing(planned: Planned, since: float, file: str = "") -> str | None:
    """Return the last words of the first step that is not done, None where nothing is missing.

    Args:
        file: what was asked for of the experiment; empty: all of it.
    """
    exports = [task for task in planned.exports(file) if not planned.done(task)]
    missing = planned.missing()
    for task in [*missing, *exports]:
        for log in task.logs:
            if log.is_file() and log.stat().st_mtime >= since and (said := last_words(log)):
                return f"{task.label}: {said} ({log})"
    if planned.exports(file):
        missing = exports
    elif file and Path(planned.directory, file).exists():
        return None
    what = file or (missing[0].label if missing else "")
    return f"{what}: did not run; a step before it failed, or the run was stopped" if missing else None


def _conclude(sweep: PlannedSweep, since: float) -> list[str]:
    failed = {name: why for name, planned in sweep.planned.items() if (why := why_missing(planned, since))}
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
