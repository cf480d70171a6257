"""What MLflow shows of an experiment, a shared step or a comparison, before any of it is written."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

LAYOUT = 3
"""Raised when tracking shows more of the same files, so that rows that are there already are written again."""


@dataclass(frozen=True)
class CalibrationText:
    """A dataset: its name, digest of its tokens, folder relative to the project, and facts as JSON."""

    name: str
    digest: str
    directory: str
    profile: str


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk: identity, name in the list of models, path relative to the project, and facts, set once."""

    key: str
    name: str
    path: str
    facts: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """One row of the runs table.

    Attributes:
        key: identity; a run with another key is another run.
        model, name: of the experiment, the shared step or the sweep.
        metrics: finite numbers. curves: finite numbers by layer, or by step of a training run.
        tags: labels. params: settings. note: the page shown with the run.
        artifacts: name within the run -> absolute path of a small file to copy there.
        started, finished: Unix time in seconds.
        shared: of an experiment, each shared step -> its key.
        calibration, parent, pruned: of an experiment, the text and the checkpoints that are there.
        best: of a comparison, key of each experiment that it recommends -> the reason.
    """

    key: str
    model: str
    name: str
    metrics: dict[str, float]
    tags: dict[str, str]
    artifacts: dict[str, Path]
    started: float
    finished: float
    params: dict[str, str] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    note: str = ""
    shared: dict[str, str] = field(default_factory=dict)
    calibration: CalibrationText | None = None
    parent: Checkpoint | None = None
    pruned: Checkpoint | None = None
    best: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return 16 hex digits over everything that tracking shows, the bytes of the artifacts included."""
        files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.artifacts.items()}
        content = asdict(self) | {"layout": LAYOUT, "artifacts": files}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
