"""The section about exports: they are made on request, before or after the page."""

from pathlib import Path

from prunescope.artifacts.record import StepRecord
from prunescope.tracking.gather import ON_REQUEST

RUN_GGUF = """```python
from llama_cpp import Llama  # pip install llama-cpp-python; any llama.cpp that knows `deci` will do

model = Llama("{path}")
print(model("The city of", max_tokens=32)["choices"][0]["text"])
```"""

RUN_UNIFORM = """```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{path}")  # no code of ours
```"""


def exports_section(directory: Path) -> str | None:
    """Return the exports that are there, how close they are to the checkpoint and how to run them; None without any."""
    records = [StepRecord.read(file) for file in sorted((directory / "records").glob(ON_REQUEST))]
    records = [record for record in records if (directory / _place(record)).exists()]
    if not records:
        return None
    made = max(StepRecord.read(file).finished for file in _checkpoint_records(directory))
    lines = ["## Exports\n", "| file | MB | same most likely token | mean KL, nats | |", "|---|---:|---:|---:|---|"]
    lines += [_row(record, stale=record.started < made) for record in records]
    note = (
        "Each was compared with the checkpoint on the tokens of a fixed text when it was made (`docs/exports.md`); "
        "`prunescope verify` compares them again."
    )
    return "\n\n".join(["\n".join(lines), note, *_how_to_run(directory, [_place(record) for record in records])])


def _checkpoint_records(directory: Path) -> list[Path]:
    """Return the records of the steps that made the final checkpoint."""
    return [file for step in ("pruning", "recovery") if (file := directory / f"records/{step}.json").is_file()]


def _place(record: StepRecord) -> str:
    name = record.step.removeprefix("export_")
    return f"export/gguf/{name.removeprefix('gguf_')}.gguf" if name.startswith("gguf_") else f"export/{name}"


def _row(record: StepRecord, stale: bool) -> str:
    size, agreement, kl = (
        record.metrics[f"export/{record.step.removeprefix('export_')}_{what}"]
        for what in ("bytes", "agreement", "kl_nats")
    )
    note = "**of an earlier checkpoint: make it again**" if stale else ""
    return f"| `{_place(record)}` | {size / 1e6:,.1f} | {agreement:.1%} | {kl:.2g} | {note} |"


def _how_to_run(directory: Path, places: list[str]) -> list[str]:
    files = [place for place in places if place.endswith(".gguf")]
    found = [RUN_GGUF.format(path=f"{directory}/{files[-1]}")] if files else []
    return found + [RUN_UNIFORM.format(path=f"{directory}/{place}") for place in places if place not in files]
