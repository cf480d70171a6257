"""The section about exports: they are made on request, before or after the page."""

from dataclasses import dataclass
from pathlib import Path

from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import GGUF_TYPES
from prunescope.markdown import table

RUN_GGUF = """```python
from llama_cpp import Llama  # pip install llama-cpp-python; any llama.cpp that knows `deci` will do

model = Llama("{path}")
print(model("The city of", max_tokens=32)["choices"][0]["text"])
```"""

RUN_UNIFORM = """```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{path}")  # no code of ours
```"""


@dataclass(frozen=True)
class Export:
    """An export that is there. name: of its task, such as ``gguf_q8_0``. path: below the experiment."""

    name: str
    path: Path
    record: StepRecord

    def row(self, made: float) -> tuple[str, ...]:
        """Return its row; `made`: when the checkpoint was, as Unix time."""
        size, agreement, kl = (self.record.metrics[f"export/{self.name}_{what}"] for what in METRICS)
        note = "**of an earlier checkpoint: make it again**" if self.record.started < made else ""
        return f"`{self.path}`", f"{size / 1e6:,.1f}", f"{agreement:.1%}", f"{kl:.2g}", note


METRICS = ("bytes", "agreement", "kl_nats")


def exports_section(folder: ExperimentFolder) -> str | None:
    """Return the exports that are there, how close they are to the checkpoint and how to run them; None without any."""
    files = {f"gguf_{kind}": folder.named(ExperimentFolder.gguf, type=kind) for kind in sorted(GGUF_TYPES)}
    files["uniform"] = folder.uniform
    exports = [
        Export(name, file.path.relative_to(folder.path), record.read())
        for name, file in files.items()
        if file.exists() and (record := _record(folder, name)).exists()
    ]
    if not exports:
        return None
    steps = (file.made_by for file in (ExperimentFolder.checkpoint, ExperimentFolder.recovered))
    made = max(record.read().finished for step in steps if (record := _record(folder, step)).exists())
    columns = ("file", "MB", "same most likely token", "mean KL, nats", "")
    note = (
        "Each was compared with the checkpoint on the tokens of a fixed text when it was made (`docs/exports.md`); "
        "`prunescope verify` compares them again."
    )
    run = [RUN_GGUF.format(path=files[export.name].path) for export in exports if export.name != "uniform"][-1:]
    run += [RUN_UNIFORM.format(path=folder.uniform.path) for export in exports if export.name == "uniform"]
    numbers = table(columns, [export.row(made) for export in exports], "lrrrl")
    return "\n\n".join(["## Exports", numbers, note, *run])


def _record(folder: ExperimentFolder, step: str) -> Entry[StepRecord]:
    return folder.named(ExperimentFolder.record, step=step)
