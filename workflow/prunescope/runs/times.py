"""Where the time of an experiment went, from its records."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prunescope.artifacts.record import StepRecord
from prunescope.files import read_json

MODEL_STEPS = (
    "model", "gradients", "removal", "pruning", "baseline", "evaluation", "zeroshot_baseline", "zeroshot",
    "gguf_baseline", "recovery", "recovered", "efficiency",
)  # fmt: skip
"""Steps whose recorded seconds are work with a model; start-up and imports are not in them."""


def read_records(directory: Path) -> list[StepRecord]:
    """Return the records of an experiment and of the shared steps it uses, in the order they started."""
    shared = read_json(directory / "experiment.json")["shared"].values()
    files = [Path(folder, "record.json") for folder in shared] + sorted((directory / "records").glob("*.json"))
    return sorted((StepRecord.read(file) for file in files if file.is_file()), key=lambda record: record.started)


def print_times(directory: Path, since: float | None) -> None:
    """Print seconds and peak memory per step.

    Args:
        since: Unix time when the run began; steps that started earlier came from the cache, and the time until
            now that no model step explains is shown as overhead. None: all steps, no overhead.
    """
    console = Console(stderr=False)
    records = read_records(directory)
    fresh = [record for record in records if since is None or record.started >= since]
    table = Table(title=f"Where the time went: {directory}", title_justify="left")
    for name in ("step", "seconds", "peak memory"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for record in records:
        seconds = f"{record.seconds:.1f}" if record in fresh else "cached"
        table.add_row(record.step, seconds, f"{record.peak_memory_bytes / 2**30:.1f} GiB")
    console.print(table)
    if since is not None and fresh:
        elapsed = time.time() - since
        model = sum(record.seconds for record in fresh if record.step in MODEL_STEPS)
        console.print(
            f"{elapsed:.0f} s in all, {model:.0f} s of them work with the model; start-up, imports, Snakemake and the "
            f"other steps: {elapsed - model:.0f} s ({(elapsed - model) / elapsed:.0%})"
        )
