"""All that tracking shows of an experiment, a shared step or a comparison, read from `results/` and nothing else."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean

from prunescope.artifacts.folders import BaselineFolder, CalibrationFolder, ComparisonFolder, ModelFolder, SharedFolder
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.record import StepRecord
from prunescope.config.resolve import COMPARISON
from prunescope.errors import PrunescopeError
from prunescope.steps.table import TABLE
from prunescope.tracking.shown import artifacts
from prunescope.tracking.tracked import CalibrationText, Checkpoint, TrackedRun
from prunescope.tracking.view import GEOMEAN, RATIO

ON_REQUEST = tuple(step.name for step in TABLE.values() if step.on_request)
FACTS = ("origin", "revision", "model_type", "dtype", "total_parameters")
FIRST = ("ppl/", "prune/", "search/", "trial/", "diagnosis/", "grad/")
"""Metrics that decide come first: MLflow shows them in the order in which they were logged."""


UNPRUNED = "(unpruned)"


class RecordError(PrunescopeError):
    """An experiment or a comparison has not finished, or is being run again."""


def open_folder(directory: Path) -> Own | ComparisonFolder:
    """Return ``results/{model}/{experiment}`` or ``results/{model}/comparison/{sweep}``."""
    path = directory.absolute()
    return ComparisonFolder(path) if path.parent.name == COMPARISON else Own(path)


def gather(directory: Path) -> TrackedRun:
    """Collect an experiment or a comparison.

    Raises:
        RecordError: it has not finished or is being run again.
        DataError: a file is damaged.
    """
    folder = open_folder(directory)
    if isinstance(folder, ComparisonFolder):
        if folder.record.exists() and folder.recommendation.exists():
            return _comparison(folder)
        raise RecordError(f"{directory} is not there or compares what a failed run left; run snakemake {directory}")
    if folder.identity.exists():
        identity = folder.identity.read()
        if records := _own_records(folder, identity.steps):
            return _experiment(folder, identity, records)
    wanted = f"{Own.identity.path} and a record of each of its steps, all of the same settings"
    raise RecordError(f"{directory} has not finished: it needs {wanted}; run snakemake {directory} first")


def _own_records(folder: Own, steps: dict[str, str]) -> list[StepRecord]:
    """Return the records of an experiment's own steps; none of them where one is missing or has another key.

    While an experiment is run again under other settings, some of its records are of the new ones already.
    """
    entries = [folder.named(Own.record, step=step) for step in steps]
    records = [entry.read() for entry in entries if entry.exists()]
    return records if [record.key for record in records] == list(steps.values()) else []


def gather_shared(folder: SharedFolder) -> TrackedRun | None:
    """Collect a shared step; None without its record."""
    if not folder.record.exists():
        return None
    record = folder.record.read()
    model, _, step, key = folder.path.parts[-4:]
    return TrackedRun(
        key="/".join(folder.path.parts[-4:]),
        model=model,
        name=f"{step}/{key}",
        params={name: str(value) for name, value in record.params.items()},
        metrics=_metrics([record]),
        curves=_curves([record]),
        tags=_tags([record]) | {"step": step, "model": model},
        artifacts=artifacts(folder),
        started=record.started,
        finished=record.finished,
    )


def gather_unpruned(folder: Own) -> TrackedRun | None:
    """Collect the unpruned model as a row beside those of an experiment; None where it was not measured."""
    identity = folder.identity.read()
    baseline = folder.shared(BaselineFolder.step, identity.shared.get(BaselineFolder.step, ""))
    if not baseline.record.exists():
        return None
    record = baseline.record.read()
    return TrackedRun(
        key=f"{identity.model}/{UNPRUNED}-{baseline.path.name}",
        model=identity.model,
        name=UNPRUNED,
        metrics={GEOMEAN: 1.0} | _metrics([record]) | {RATIO: 0.0},
        tags=_tags([record]) | {"model": identity.model},
        artifacts={},
        started=record.started,
        finished=record.finished,
    )


def _experiment(folder: Own, identity: Identity, records: list[StepRecord]) -> TrackedRun:
    records = records + [entry.read() for entry in folder.records() if entry.path.stem.startswith(ON_REQUEST)]
    pruned, metrics = _pruned(folder, identity), _metrics(records)
    labels = {"model": identity.model, "dataset": identity.dataset, "criterion": identity.settings.method.criterion}
    return TrackedRun(
        key=str(identity.key),
        model=identity.model,
        name=identity.experiment,
        params={name: str(value) for name, value in identity.params.items()},
        metrics=_quality(metrics) | metrics,
        curves=_curves(records),
        tags=_tags(records) | labels | ({"prunescope.checkpoint": pruned.path} if pruned else {}),
        artifacts=artifacts(folder),
        started=min(record.started for record in records),
        finished=max(record.finished for record in records),
        note=_note(folder.page.read()) if folder.page.exists() else "",
        shared=identity.shared,
        calibration=_calibration(folder, identity),
        parent=_parent(folder, identity),
        pruned=pruned,
    )


def _comparison(folder: ComparisonFolder) -> TrackedRun:
    record, said = folder.record.read(), folder.recommendation.read()
    model = folder.path.parents[1]
    return TrackedRun(
        key="/".join(folder.path.parts[-3:]),
        model=model.name,
        name=folder.path.name,
        metrics={"comparison/experiments": len(said.experiments)},
        tags={"model": model.name, "recommended": ", ".join(said.recommended)},
        artifacts=artifacts(folder),
        started=record.started,
        finished=record.finished,
        note="\n\n".join(said.sentences),
        best={str(Own(model / name).identity.read().key): why for name, why in said.recommended.items()},
    )


def _note(page: str) -> str:
    """Return the page without what MLflow shows anyway, its title, or cannot show: pictures beside it."""
    lines = page.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("# ", "!["))).lstrip()


def _calibration(folder: Own, identity: Identity) -> CalibrationText | None:
    key = identity.shared.get(CalibrationFolder.step, "")
    text = CalibrationFolder(folder.shared(CalibrationFolder.step, key).path)
    if not text.manifest.exists():
        return None
    manifest = text.manifest.read()
    profile = json.dumps(manifest.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    return CalibrationText(identity.dataset, manifest.sha256[:16], _relative(text.path, folder), profile)


def _parent(folder: Own, identity: Identity) -> Checkpoint | None:
    key = identity.shared.get(ModelFolder.step, "")
    model = ModelFolder(folder.shared(ModelFolder.step, key).path)
    if not model.facts.exists():
        return None
    facts = model.facts.read()
    shown = {name: str(value) for name in FACTS if (value := getattr(facts, name)) is not None}
    return Checkpoint("/".join(model.path.parts[-4:]), facts.name, _relative(facts.path, folder), shown)


def _pruned(folder: Own, identity: Identity) -> Checkpoint | None:
    """Return the final checkpoint: the trained one, where the experiment trains."""
    final = folder.final
    if not final.path.is_dir():
        return None
    return Checkpoint(str(identity.key), identity.experiment, _relative(final.path, folder), {"parent": identity.model})


def _relative(path: Path | str, folder: Own) -> str:
    """Return a path relative to the project, if it is inside."""
    return str(path).removeprefix(f"{folder.path.parents[2]}/")


def _quality(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return how much worse the model that an experiment ends with is than the unpruned one, if it was measured."""
    for prefix in ("ppl_recovered_ratio/", "ppl_ratio/"):
        if ratios := [value for name, value in metrics.items() if name.startswith(prefix)]:
            return {GEOMEAN: rounded(geometric_mean(ratios))}
    return {}


def _metrics(records: Sequence[StepRecord]) -> dict[str, float]:
    """Return the finite metrics of all records and what each step used, those that decide first."""
    found: dict[str, float] = {}
    for record in records:
        found |= {name: rounded(value) for name, value in record.metrics.items() if math.isfinite(value)}
        found[f"usage/{record.step}_seconds"] = rounded(record.seconds)
        found[f"usage/{record.step}_peak_memory_bytes"] = record.peak_memory_bytes
        if record.peak_device_bytes:
            found[f"usage/{record.step}_peak_device_bytes"] = record.peak_device_bytes
    return {name: found[name] for prefix in (*FIRST, "") for name in found if name.startswith(prefix)}


def rounded(value: float) -> float:
    """Return a number as people read it, with six significant digits; whole ones, such as counts, as they are."""
    return value if float(value).is_integer() else float(f"{value:.6g}")


def _curves(records: Sequence[StepRecord]) -> dict[str, dict[int, float]]:
    """Return the numbers of all records by layer, under names that no metric has, and by training step."""
    found: dict[str, dict[int, float]] = {}
    for record in records:
        for name, curve in record.curves.items():
            known = {n: rounded(value) for n, value in enumerate(curve) if value is not None and math.isfinite(value)}
            found[f"{name}_by_layer"] = known
        for name, history in record.histories.items():
            found[name] = {step: rounded(value) for step, value in history}
    return found


def _tags(records: Sequence[StepRecord]) -> dict[str, str]:
    """Return the labels and the provenance of all records; the last one wins."""
    found: dict[str, str] = {}
    for record in records:
        found |= record.tags
        found |= {f"version.{library}": version for library, version in record.versions.items()}
        if record.git_sha:
            found["mlflow.source.git.commit"] = record.git_sha
    return found
