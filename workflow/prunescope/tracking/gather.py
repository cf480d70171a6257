"""All that tracking shows of an experiment, collected from its records under `results/` and nothing else."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError, PrunescopeError
from prunescope.files import read_json
from prunescope.tracking.checkpoints import Checkpoint, parent_checkpoint, pruned_checkpoint

EXPERIMENT_FILE = "experiment.json"
ALWAYS = ("importance", "diagnosis", "pruning", "evaluation")
ON_REQUEST = "export_*.json"
"""Records of steps that an experiment is complete without."""
SHOWN = (
    "README.md",
    "config.yaml",
    "analysis/*.json",
    "analysis/*.csv",
    "analysis/*.html",
    "visualization/*.png",
    "evaluation/*.json",
)
SHOWN_SHARED = (
    "key.json",
    "manifest.json",
    "*_statistics.json",
    "block_importance.json",
    "similarity.json",
    "stability.json",
    "timing.json",
)
FIRST = ("ppl/", "prune/", "diagnosis/", "grad/")
"""Metrics that decide come first: MLflow shows them in the order in which they were logged."""
LARGEST_ARTIFACT = 5 * 2**20
LAYOUT = 2
"""Raised when tracking shows more of the same files, so that experiments that it knows are written again."""


class RecordError(PrunescopeError):
    """The records of an experiment are missing or cannot be read."""


@dataclass(frozen=True)
class CalibrationText:
    """The dataset of an experiment.

    Attributes:
        name: as in the configuration. digest: of its tokens. profile: facts, as JSON.
        directory: where it is, relative to the project.
    """

    name: str
    digest: str
    directory: str
    profile: str


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """One row of the runs table.

    Attributes:
        key: identity; a run with another key is another run.
        model, name: of the experiment, or of the shared step.
        params: settings. metrics: finite numbers. curves: per layer, None where there is no number.
        histories: (training step, value) in the course of a step.
        tags: labels. note: the page shown with the run.
        artifacts: name within the run -> absolute path of a small file to copy there.
        started, finished: Unix time in seconds.
    """

    key: str
    model: str
    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[float | None]]
    histories: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    tags: dict[str, str]
    artifacts: dict[str, Path]
    started: float
    finished: float
    note: str = ""

    def digest(self) -> str:
        """Return 16 hex digits over everything that tracking shows, the bytes of the artifacts included."""
        content = asdict(self) | {"layout": LAYOUT}
        content["artifacts"] = {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.artifacts.items()
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class SharedRun(TrackedRun):
    """A step that several experiments use."""


@dataclass(frozen=True, kw_only=True)
class ExperimentRun(TrackedRun):
    """An experiment.

    Attributes:
        shared: name of each shared step -> its key, the name of its directory.
        calibration: the text. parent, pruned: the checkpoints, where they are there.
    """

    shared: dict[str, str]
    calibration: CalibrationText | None
    parent: Checkpoint | None
    pruned: Checkpoint | None


def is_complete(directory: Path) -> bool:
    """Return whether the experiment has everything that tracking needs, all of it made under the same settings."""
    if not (directory / EXPERIMENT_FILE).is_file():
        return False
    try:
        about = read_json(directory / EXPERIMENT_FILE)
        return all(
            _is_current(directory / f"records/{step}.json", key, about["experiment"])
            for step, key in _steps(about).items()
        )
    except DataError:
        return True  # a broken file is found when it is gathered


def _is_current(record: Path, key: str | None, experiment: str) -> bool:
    """Return whether a record is there and has the key that ``experiment.json`` tells.

    While an experiment is run again under other settings, some of its records are of the new ones already.
    """
    # In files of earlier versions no key is told, or it is the experiment's name.
    return record.is_file() and (key is None or read_json(record).get("key") in (key, experiment))


def _steps(about: dict) -> dict[str, str | None]:
    """Return the experiment's own steps, the optional ones that were asked for included, and their records' keys."""
    steps = about.get("steps", ALWAYS)
    return steps if isinstance(steps, dict) else dict.fromkeys(steps)


def gather_experiment(directory: Path) -> ExperimentRun:
    """Collect an experiment from ``results/{model}/{experiment}``.

    Raises:
        RecordError: the experiment has not finished or is being run again, or a file is not what it should be.
    """
    if not is_complete(directory):
        wanted = f"{EXPERIMENT_FILE} and a record of each of its steps ({', '.join(ALWAYS)}, ...), of the same settings"
        raise RecordError(f"{directory} has not finished: it needs {wanted}; run snakemake {directory} first")
    about = read_json(directory / EXPERIMENT_FILE)
    files = [directory / "records" / f"{step}.json" for step in _steps(about)]
    records = [StepRecord.read(file) for file in (*files, *sorted((directory / "records").glob(ON_REQUEST)))]
    params = {name: str(value) for name, value in about["params"].items()}
    shared: dict[str, str] = about["shared"]
    readme = directory / "README.md"
    return ExperimentRun(
        key=about["key"],
        model=about["model"],
        name=about["experiment"],
        params=params,
        metrics=_metrics(records),
        curves=_curves(records),
        histories=_histories(records),
        tags=_tags(records) | _labels(about, directory),
        artifacts=_artifacts(directory, SHOWN, ((directory / "records", record) for record in records)),
        started=min(record.started for record in records),
        finished=max(record.finished for record in records),
        note=_note(readme.read_text(encoding="utf-8")) if readme.is_file() else "",
        shared={step: Path(path).name for step, path in shared.items()},
        calibration=_calibration(directory, shared.get("calibration"), params.get("dataset")),
        parent=parent_checkpoint(project(directory) / shared["model"], project(directory))
        if "model" in shared
        else None,
        pruned=pruned_checkpoint(directory, project(directory), about),
    )


def gather_shared(directory: Path) -> SharedRun | None:
    """Collect a shared step from ``results/{model}/_shared/{step}/{key}``; None without its record."""
    if not (directory / "record.json").is_file():
        return None
    record = StepRecord.read(directory / "record.json")
    model, _, step, key = directory.parts[-4:]
    return SharedRun(
        key=f"{model}/_shared/{step}/{key}",
        model=model,
        name=f"{step}/{key}",
        params={name: str(value) for name, value in record.params.items()},
        metrics=_metrics([record]),
        curves=_curves([record]),
        histories=_histories([record]),
        tags=_tags([record]) | {"step": step, "model": model},
        artifacts=_artifacts(directory, SHOWN_SHARED, [(directory, record)]),
        started=record.started,
        finished=record.finished,
    )


def shared_directory(directory: Path, step: str, key: str) -> Path:
    """Return the directory of a shared step that the experiment in `directory` uses."""
    return directory.parent / "_shared" / step / key


def project(directory: Path) -> Path:
    """Return the project folder of ``results/{model}/{experiment}``."""
    return directory.absolute().parents[2]


def _metrics(records: list[StepRecord]) -> dict[str, float]:
    """Return the finite metrics of all records and what each step used; MLflow sorts names, so that this comes last."""
    metrics: dict[str, float] = {}
    for record in records:
        metrics |= {name: value for name, value in record.metrics.items() if _finite(value)}
        metrics[f"usage/{record.step}_seconds"] = record.seconds
        metrics[f"usage/{record.step}_peak_memory_bytes"] = record.peak_memory_bytes
        if record.peak_device_bytes:
            metrics[f"usage/{record.step}_peak_device_bytes"] = record.peak_device_bytes
    return dict(sorted(metrics.items(), key=lambda metric: _place(metric[0])))


def _place(name: str) -> int:
    return next((place for place, prefix in enumerate(FIRST) if name.startswith(prefix)), len(FIRST))


def _curves(records: list[StepRecord]) -> dict[str, list[float | None]]:
    """Return the curves of all records; a name of their own keeps them apart from scalar metrics."""
    return {
        f"{name}_by_layer": [value if _finite(value) else None for value in curve]
        for record in records
        for name, curve in record.curves.items()
    }


def _note(page: str) -> str:
    """Return the page without what MLflow shows anyway, its title, or cannot show: pictures beside it."""
    lines = page.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("# ", "!["))).lstrip()


def _histories(records: list[StepRecord]) -> dict[str, list[tuple[int, float]]]:
    return {
        name: [(step, value) for step, value in history]
        for record in records
        for name, history in record.histories.items()
    }


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _tags(records: list[StepRecord]) -> dict[str, str]:
    """Return the labels and the provenance of all records, the last one wins."""
    tags: dict[str, str] = {}
    for record in records:
        tags |= {name: str(value) for name, value in record.tags.items()}
        tags |= {f"version.{library}": version for library, version in record.versions.items()}
        if record.git_sha:
            tags["mlflow.source.git.commit"] = record.git_sha
    return tags


def _labels(about: dict, directory: Path) -> dict[str, str]:
    params = about["params"]
    labels = {
        "model": about["model"],
        "dataset": params.get("dataset"),
        "criterion": params.get("method.criterion", params.get("criterion")),
    }
    if pruned := pruned_checkpoint(directory, project(directory), about):
        labels["prunescope.checkpoint"] = pruned.path
    return {name: str(value) for name, value in labels.items() if value is not None}


def _artifacts(directory: Path, patterns: Iterable[str], records: Iterable[tuple[Path, StepRecord]]) -> dict[str, Path]:
    """Return the small files that match `patterns` or are named in a record; never the checkpoint."""
    found = [path for pattern in patterns for path in directory.glob(pattern)]
    found += [Path(os.path.normpath(folder / name)) for folder, record in records for name in record.artifacts]
    inside = {p.relative_to(directory).as_posix(): p for p in found if p.is_relative_to(directory)}
    return {
        name: path.absolute()
        for name, path in sorted(inside.items())
        if not name.startswith(("model/", "recovered/")) and path.is_file() and path.stat().st_size <= LARGEST_ARTIFACT
    }


def _calibration(directory: Path, samples: str | None, dataset: str | None) -> CalibrationText | None:
    manifest = project(directory) / (samples or "") / "manifest.json"
    if samples is None or not manifest.is_file():
        return None
    facts = read_json(manifest)
    return CalibrationText(
        name=dataset or manifest.parent.name,
        digest=facts["sha256"][:16],
        directory=samples,
        profile=json.dumps(facts, sort_keys=True),
    )
