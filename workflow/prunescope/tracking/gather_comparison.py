"""All that tracking shows of the comparison of a sweep, collected from its folder."""

from dataclasses import dataclass
from pathlib import Path

from prunescope.artifacts.record import StepRecord
from prunescope.config.resolve import COMPARISON
from prunescope.files import read_json
from prunescope.tracking.gather import (
    EXPERIMENT_FILE,
    ExperimentRun,
    RecordError,
    TrackedRun,
    gather_experiment,
    is_complete,
)

SHOWN = ("comparison.md", "comparison.csv", "*.png", "*.svg", "recommendation.json")


@dataclass(frozen=True, kw_only=True)
class ComparisonRun(TrackedRun):
    """The comparison of a sweep; `best` maps the key of every experiment that it recommends to the reason."""

    best: dict[str, str]


def is_comparison(directory: Path) -> bool:
    """Return whether this is ``results/{model}/comparison/{sweep}``."""
    return directory.absolute().parent.name == COMPARISON


def gather(directory: Path) -> ExperimentRun | ComparisonRun:
    """Collect an experiment or a comparison.

    Raises:
        RecordError: it has not finished, or a file is not what it should be.
    """
    return gather_comparison(directory) if is_comparison(directory) else gather_experiment(directory)


def is_whole(directory: Path) -> bool:
    """Return whether an experiment or a comparison has everything that tracking needs."""
    if is_comparison(directory):
        return all((directory / name).is_file() for name in ("record.json", "recommendation.json"))
    return is_complete(directory)


def gather_comparison(directory: Path) -> ComparisonRun:
    """Collect the comparison of a sweep from ``results/{model}/comparison/{sweep}``.

    Raises:
        RecordError: it has not finished: a failed run leaves no record.
    """
    if not is_whole(directory):
        raise RecordError(f"{directory} is not there or compares what a failed run left; run snakemake {directory}")
    record = StepRecord.read(directory / "record.json")
    model, sweep = directory.absolute().parents[1], directory.name
    said = read_json(directory / "recommendation.json")
    keys = {name: read_json(model / name / EXPERIMENT_FILE)["key"] for name in said["recommended"]}
    return ComparisonRun(
        key=f"{model.name}/{COMPARISON}/{sweep}",
        model=model.name,
        name=sweep,
        params={},
        metrics={"comparison/experiments": len(said["experiments"])},
        curves={},
        tags={"model": model.name, "recommended": ", ".join(said["recommended"])},
        artifacts={path.name: path.absolute() for pattern in SHOWN for path in sorted(directory.glob(pattern))},
        started=record.started,
        finished=record.finished,
        note="\n\n".join(said["sentences"]),
        best={keys[name]: why for name, why in said["recommended"].items()},
    )
