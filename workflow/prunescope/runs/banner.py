"""What is said when a run starts: what each experiment still needs, and what a sweep will take."""

from collections.abc import Iterable

from prunescope.runs.estimates import duration, estimate
from prunescope.steps.planned import Planned, PlannedSweep
from prunescope.steps.step import Task


def banner(experiments: Iterable[Planned]) -> str:
    """Say per experiment which shared steps are cached and which will run."""
    lines = []
    for planned in experiments:
        missing = planned.missing()
        done = [task for task in planned.shared if task not in missing]
        todo = [task for task in planned.shared if task in missing]
        lines += [f"{planned.experiment.model} / {planned.experiment.name}"]
        lines += [f"    cached   {_listed(done)}"] if done else []
        lines += [f"    to run   {_listed(todo)}"] if todo else []
        lines += [f"    samples  {_samples(planned)}"]
    return "\n".join(lines)


def _samples(planned: Planned) -> str:
    settings, presets = planned.experiment.settings, planned.experiment.source.settings
    calibration, subset = settings.calibration, settings.removal.samples
    text = f"{calibration.samples} x {calibration.seq_len} tokens of {planned.experiment.dataset}"
    if subset is not None and "removal" in planned.tasks:
        text += f", {subset} windows of them for the prior"
    chosen = {"samples": calibration.samples, "seq_len": calibration.seq_len}
    if presets.get("calibration") == chosen:
        text += " (set for this model)"
    return text


def sweep_table(sweep: PlannedSweep) -> str:
    """Say per experiment of a sweep what is cached, what will run and about how long that takes.

    A step that several experiments share is listed with the first of them.
    """
    names = {name: f"  {name}".ljust(max(len(member) for member in sweep.members) + 4) for name in sweep.members}
    lines: list[str] = []
    missing: list[Task] = []
    for name, planned in sweep.planned.items():
        own_missing = planned.missing()
        todo = [task for task in own_missing if task not in missing]
        missing += todo
        steps = len(planned.shared) + len(planned.own)
        cached = f"{steps - len(own_missing)} of {steps} steps cached"
        lines.append(f"{names[name]}{cached}; to run: {_listed(todo) or 'nothing'}{_about(estimate(todo)[0])}")
    lines += [f"{names[name]}impossible: {why}" for name, why in sweep.impossible.items()]
    seconds, unknown = estimate(missing)
    counted = f"{len(sweep.members)} experiment{'' if len(sweep.members) == 1 else 's'}"
    head = f"sweep {sweep.name} on {sweep.model}: {counted}{_about(seconds)}"
    head += f"; never timed yet: {', '.join(unknown)}" if unknown else ""
    return "\n".join([head, *lines])


def _listed(tasks: list[Task]) -> str:
    return ", ".join(dict.fromkeys(task.label for task in tasks))


def _about(seconds: float) -> str:
    return f", about {duration(seconds)}" if seconds else ""
