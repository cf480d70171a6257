"""The end of a run that failed: which experiments are missing and the line of their logs that says why."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from prunescope.runs.stages import export_stages, stages
from prunescope.steps.planned import Planned, PlannedSweep
from prunescope.steps.targets import Target


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
    exports = export_stages(planned, file)
    missing = [stage for stage in (*stages(planned), *exports) if not stage.done]
    for stage in missing:
        if stage.log.is_file() and stage.log.stat().st_mtime >= since and (said := last_words(stage.log)):
            return f"{stage.label}: {said} ({stage.log})"
    if exports:
        missing = [stage for stage in missing if stage in exports]
    elif file and Path(planned.directory, file).exists():
        return None
    what = file or (missing[0].label if missing else "")
    return f"{what}: did not run; a step before it failed, or the run was stopped" if missing else None


def last_words(log: Path) -> str:
    """Return the line of a log that matters: our own sentence or, where there is none, the last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    own = [line.removeprefix("prunescope: ") for line in lines if line.startswith("prunescope: ")]
    return next(reversed(own or lines), "")


def _conclude(sweep: PlannedSweep, since: float) -> list[str]:
    failed = {name: why for name, planned in sweep.planned.items() if (why := why_missing(planned, since))}
    missing = sweep.impossible | failed
    if not missing:
        return []
    finished = len(sweep.members) - len(missing)
    head = f"sweep {sweep.name} on {sweep.model}: {finished} of {len(sweep.members)} experiments finished"
    lines = [head, *(f"  {name}: {why}" for name, why in missing.items())]
    if finished and failed:
        # Snakemake compares only when nothing failed.
        spec = sweep.spec(failed).text()
        done = subprocess.run(["prunescope", "comparison", sweep.directory, "--spec", spec, "--partial"])
        lines += [f"  compared: {sweep.directory}/comparison.md"] if done.returncode == 0 else []
    elif finished:
        lines.append(f"  compared: {sweep.directory}/comparison.md")
    return lines
