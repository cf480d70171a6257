"""What a step leaves behind for tracking: parameters, metrics, curves, cost and provenance, as one JSON."""

import importlib.metadata
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prunescope.config.patches import Scalar, flatten
from prunescope.files import read_json, write_json

LIBRARIES = ("prunescope", "torch", "transformers", "datasets", "numpy", "pandas", "snakemake")


@dataclass
class StepRecord:
    """One run of one step.

    Attributes:
        step: name of the step, for example ``"gradients"``.
        key: directory name of a shared step; name of the experiment and, of its own steps, the spec's digest.
        params: flat settings of the step, as MLflow parameters.
        metrics: scalar results, names with a prefix (``grad/``, ``prune/``, ``ppl/``).
        curves: results per layer; the index in the list is the layer.
        histories: results in the course of a step, as (training step, value); named apart from the metrics.
        tags: labels such as the device.
        artifacts: files to show beside the run, relative to the record's directory.
        started, finished: Unix time in seconds.
        seconds: wall time. peak_memory_bytes: highest resident memory of the process.
        peak_device_bytes: highest memory allocated on the accelerators, each by itself (0 without one).
        git_sha, versions: provenance.
    """

    step: str
    key: str
    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    histories: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)
    started: float = 0.0
    finished: float = 0.0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    peak_device_bytes: int = 0
    git_sha: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the record as strict JSON; non-finite metrics are left out, never written as numbers."""
        content = asdict(self)
        content["metrics"] = {k: v for k, v in self.metrics.items() if math.isfinite(v)}
        content["curves"] = {
            k: [v if v is not None and math.isfinite(v) else None for v in curve] for k, curve in self.curves.items()
        }
        write_json(path, content)

    @classmethod
    def read(cls, path: Path) -> "StepRecord":
        """Read a record written by `write`."""
        return cls(**read_json(path))


@contextmanager
def recording(step: str, key: str, path: Path, params: dict[str, Any] | None = None) -> Iterator[StepRecord]:
    """Time the block and write its `StepRecord` to `path` when it succeeds."""
    record = StepRecord(step, key, params=flatten(params or {}), started=time.time())
    begin = time.perf_counter()
    yield record
    record.seconds = round(time.perf_counter() - begin, 3)
    record.finished = time.time()
    record.peak_memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gpus = range(torch.cuda.device_count())
        record.peak_device_bytes = sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus)
    record.git_sha = git_sha()
    record.versions = library_versions()
    record.write(path)


def git_sha() -> str | None:
    """Return the commit of the working directory, or None outside a git checkout."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that can change a number, Python included."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
