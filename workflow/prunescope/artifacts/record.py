"""What a step leaves behind for tracking: parameters, metrics, curves, cost and provenance, as one JSON."""

import importlib.metadata
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from prunescope.artifacts.document import Number, without_nan
from prunescope.artifacts.files import Entry
from prunescope.config.patches import Scalar, flatten

LIBRARIES = ("prunescope", "torch", "transformers", "datasets", "numpy", "pandas", "snakemake")

FiniteOnly = PlainSerializer(lambda metrics: {name: value for name, value in metrics.items() if math.isfinite(value)})
WithoutNan = PlainSerializer(without_nan)


class StepRecord(BaseModel):
    """One run of one step. Metrics that are not finite are left out; in a curve they are null."""

    # Shared steps are kept for months: a record from before a field went must not cost their GPU hours.
    model_config = ConfigDict(extra="ignore")

    step: str = Field(description="Name of the step.")
    key: str = Field(description="Of a shared step the name of its folder; of an experiment's, the digest of its spec.")
    params: dict[str, Scalar] = Field(default_factory=dict, description="Flat settings of the step.")
    metrics: Annotated[dict[str, Number], FiniteOnly] = Field(
        default_factory=dict, description="Results by the names that MLflow shows, such as `grad/`, `prune/`, `ppl/`."
    )
    curves: Annotated[dict[str, list[Number | None]], WithoutNan] = Field(
        default_factory=dict, description="Results per layer: the index in the list is the layer."
    )
    histories: dict[str, list[tuple[int, Number]]] = Field(
        default_factory=dict, description="Results in the course of a step: pairs of training step and value."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Labels, such as the device.")
    started: float = Field(0.0, description="Unix time, in seconds.")
    finished: float = Field(0.0, description="Unix time, in seconds.")
    seconds: float = Field(0.0, description="Wall time.")
    peak_memory_bytes: int = Field(0, description="Highest resident memory of the process.")
    peak_device_bytes: int = Field(0, description="Highest memory allocated on the accelerators; 0 without one.")
    git_sha: str | None = Field(None, description="Commit of the project; null outside a git checkout.")
    versions: dict[str, str] = Field(default_factory=dict, description="Of Python and the libraries.")

    def model_post_init(self, context: Any) -> None:
        # Steps fill dictionaries in place, which does not count as setting a field; what is not set is not written.
        self.model_fields_set.update(StepRecord.model_fields)


@contextmanager
def recording(
    step: str, key: str, entry: Entry[StepRecord], params: dict[str, Any] | None = None
) -> Iterator[StepRecord]:
    """Time the block and write its `StepRecord` when it succeeds."""
    record = StepRecord(step=step, key=key, params=flatten(params or {}), started=time.time())
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
    entry.write(record)


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
