"""Where the time of an experiment went, from its records."""

import time

from rich.console import Console
from rich.table import Table

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.record import StepRecord
from prunescope.steps.table import TABLE


def read_records(folder: ExperimentFolder) -> list[StepRecord]:
    """Return the records of an experiment and of the shared steps it uses, in the order they started."""
    entries = [folder.shared(step, key).record for step, key in folder.identity.read().shared.items()]
    entries += folder.records()
    return sorted((entry.read() for entry in entries if entry.exists()), key=lambda record: record.started)


def print_times(folder: ExperimentFolder, since: float | None) -> None:
    """Print seconds and peak memory per step.

    Args:
        since: Unix time when the run began; steps that started earlier came from the cache, and the time until
            now that no step with a model explains is shown as overhead. None: all steps, no overhead.
    """
    console = Console(stderr=False)
    records = read_records(folder)
    fresh = [record for record in records if since is None or record.started >= since]
    table = Table(title=f"Where the time went: {folder.path}", title_justify="left")
    for name in ("step", "seconds", "peak memory"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for record in records:
        seconds = f"{record.seconds:.1f}" if record in fresh else "cached"
        table.add_row(record.step, seconds, f"{record.peak_memory_bytes / 2**30:.1f} GiB")
    console.print(table)
    if since is not None and fresh:
        elapsed = time.time() - since
        model = sum(record.seconds for record in fresh if record.step in TABLE and TABLE[record.step].timed)
        console.print(
            f"{elapsed:.0f} s in all, {model:.0f} s of them work with the model; start-up, imports, Snakemake and the "
            f"other steps: {elapsed - model:.0f} s ({(elapsed - model) / elapsed:.0%})"
        )
