"""The banner at the start of a run: what each experiment still needs, and what a sweep will take."""

from collections.abc import Iterable
from pathlib import Path

from prunescope.runs.stages import Stage, estimate, stages
from prunescope.steps.planned import Planned, PlannedSweep


def banner(experiments: Iterable[Planned]) -> str:
    """Say per experiment which shared steps are cached and which will run."""
    lines = []
    for planned in experiments:
        shared = stages(planned)[: len(planned.shared)]
        done, todo = ([stage.label for stage in shared if stage.done is is_done] for is_done in (True, False))
        missing = sum(not Path(file).exists() for file in planned.files())
        lines += [f"{planned.experiment.model} / {planned.experiment.name}"]
        lines += [f"    cached   {', '.join(done)}"] if done else []
        lines += [f"    to run   {', '.join(todo)}"] if todo else []
        lines += [f"    files    {len(planned.files()) - missing} of {len(planned.files())} there"]
        lines += [f"    samples  {_samples(planned)}"]
    return "\n".join(lines)


def _samples(planned: Planned) -> str:
    settings, presets = planned.experiment.settings, planned.experiment.source.settings
    calibration, subset = settings.calibration, settings.removal.samples
    text = f"{calibration.samples} x {calibration.seq_len} tokens of {planned.experiment.dataset}"
    if subset is not None and "removal" in planned.shared:
        text += f", {subset} windows of them for the prior"
    chosen = {"samples": calibration.samples, "seq_len": calibration.seq_len}
    if presets.get("calibration") == chosen:
        text += " (set for this model in config/config.yaml)"
    return text


def sweep_table(sweep: PlannedSweep) -> str:
    """Say per experiment of a sweep what is cached, what will run and about how long that takes.

    A step that several experiments share is listed with the first of them.
    """
    names = {name: f"  {name}".ljust(max(len(member) for member in sweep.members) + 4) for name in sweep.members}
    lines, missing = [], []
    for name, planned in sweep.planned.items():
        steps = stages(planned)
        todo = [stage for stage in steps if not stage.done and stage not in missing]
        missing += todo
        cached = f"{sum(stage.done for stage in steps)} of {len(steps)} steps cached"
        lines.append(f"{names[name]}{cached}; to run: {_listed(todo)}{_about(estimate(todo)[0])}")
    lines += [f"{names[name]}impossible: {why}" for name, why in sweep.impossible.items()]
    seconds, unknown = estimate(missing)
    head = f"sweep {sweep.name} on {sweep.model}: {_counted(sweep.members)}{_about(seconds)}"
    head += f"; never timed yet: {', '.join(unknown)}" if unknown else ""
    return "\n".join([head, *lines])


def _counted(members: tuple[str, ...]) -> str:
    return f"{len(members)} experiment{'' if len(members) == 1 else 's'}"


def _listed(todo: list[Stage]) -> str:
    return ", ".join(dict.fromkeys(stage.label for stage in todo)) or "nothing"


def _about(seconds: float) -> str:
    return f", about {duration(seconds)}" if seconds else ""


def duration(seconds: float) -> str:
    """Return a rough time for people: ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
