"""The section about exports: they are made on request, before or after the page."""

from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import GGUF_TYPES
from prunescope.markdown import table
from prunescope.reporting.rendering import render

METRICS = ("bytes", "agreement", "kl_nats")


def exports_section(folder: ExperimentFolder) -> str | None:
    """Return the exports that are there, how close they are to the checkpoint and how to run them; None without any."""
    files = {f"gguf_{kind}": folder.named(ExperimentFolder.gguf, type=kind) for kind in sorted(GGUF_TYPES)}
    files["uniform"] = folder.uniform
    exports = [name for name, file in files.items() if file.exists() and _record(folder, name).exists()]
    if not exports:
        return None
    made_by = (file.made_by for file in (ExperimentFolder.checkpoint, ExperimentFolder.recovered))
    checkpoints = [record.read() for step in made_by if (record := _record(folder, step)).exists()]
    made = max((checkpoint.finished for checkpoint in checkpoints), default=0.0)
    rows = []
    for name in exports:
        entry, place = _record(folder, name), files[name].path.relative_to(folder.path)
        export = entry.read()
        with entry.complete():
            size, agreement, kl = (export.metrics[f"export/{name}_{what}"] for what in METRICS)
        note = "**of an earlier checkpoint: make it again**" if export.started < made else ""
        rows.append((f"`{place}`", f"{size / 1e6:,.1f}", f"{agreement:.1%}", f"{kl:.2g}", note))
    columns = ("file", "MB", "same most likely token", "mean KL, nats", "")
    last_gguf = next((files[name].path for name in reversed(exports) if name != "uniform"), None)
    uniform = folder.uniform.path if "uniform" in exports else None
    return render("exports.md.j2", table=table(columns, rows, "lrrrl"), gguf=last_gguf, uniform=uniform)


def _record(folder: ExperimentFolder, step: str) -> Entry[StepRecord]:
    return folder.named(ExperimentFolder.record, step=step)
