"""What tracking takes from the records of steps: numbers, curves and labels."""

import math
from collections.abc import Sequence

from prunescope.artifacts.record import StepRecord

FIRST = ("ppl/", "prune/", "diagnosis/", "grad/")
"""Metrics that decide come first: MLflow shows them in the order in which they were logged."""


def metrics(records: Sequence[StepRecord]) -> dict[str, float]:
    """Return the finite metrics of all records and what each step used, those that decide first."""
    found: dict[str, float] = {}
    for record in records:
        found |= {name: value for name, value in record.metrics.items() if math.isfinite(value)}
        found[f"usage/{record.step}_seconds"] = record.seconds
        found[f"usage/{record.step}_peak_memory_bytes"] = record.peak_memory_bytes
        if record.peak_device_bytes:
            found[f"usage/{record.step}_peak_device_bytes"] = record.peak_device_bytes
    return {name: found[name] for prefix in (*FIRST, "") for name in found if name.startswith(prefix)}


def curves(records: Sequence[StepRecord]) -> dict[str, dict[int, float]]:
    """Return the numbers of all records by layer, under names that no metric has, and by training step."""
    found: dict[str, dict[int, float]] = {}
    for record in records:
        for name, curve in record.curves.items():
            known = {layer: value for layer, value in enumerate(curve) if value is not None and math.isfinite(value)}
            found[f"{name}_by_layer"] = known
        found |= {name: dict(history) for name, history in record.histories.items()}
    return found


def tags(records: Sequence[StepRecord]) -> dict[str, str]:
    """Return the labels and the provenance of all records; the last one wins."""
    found: dict[str, str] = {}
    for record in records:
        found |= record.tags
        found |= {f"version.{library}": version for library, version in record.versions.items()}
        if record.git_sha:
            found["mlflow.source.git.commit"] = record.git_sha
    return found
