"""The export steps: write, compare with the checkpoint, keep or refuse, record."""

import logging
import math
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import torch

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.sections import Closeness
from prunescope.errors import ExportError
from prunescope.export import llama_cpp
from prunescope.export.agreement import Agreement
from prunescope.export.gguf_file import tensors, write_gguf
from prunescope.export.reference import Reference
from prunescope.export.source import Checkpoint, open_checkpoint
from prunescope.export.uniform import write_uniform
from prunescope.files import replacing, replacing_directory
from prunescope.steps.specs import GgufBaselineSpec, GgufSpec

log = logging.getLogger(__name__)

MODEL = "model"
"""Folder of the checkpoint that is exported, unless another one is asked for."""

ROWS = {"q8_0": 32, "q4_0": 32, "q4_k_m": 256}
"""By type: what the rows of a matrix are multiples of. llama.cpp keeps others in a larger type (q4_k_m) or stops."""

EXACT = Closeness(min_agreement=0.99, max_kl=1e-5)
"""Of a padded checkpoint: float32 sums in another order, nothing else."""


def write_gguf_export(spec: GgufSpec, directory: Path, text: Path | None = None, checkpoint: str = MODEL) -> None:
    """Write ``export/gguf/{type}.gguf`` of a checkpoint, and ``records/export_gguf_{type}.json``.

    Args:
        directory: ``results/{model}/{experiment}``.
        text: file with the text to compare on; None: the one that is built in.
        checkpoint: its folder in `directory`.

    Raises:
        ExportError: llama.cpp is not there, has no form for the model, or computes something else from the file;
            no file is left then.
    """
    llama_cpp.check_installed()
    name, output = f"gguf_{spec.type}", directory / f"export/gguf/{spec.type}.gguf"
    record_path = directory / f"records/export_{name}.json"
    params = spec.model_dump(mode="json") | {"checkpoint": checkpoint}
    with recording(f"export_{name}", directory.name, record_path, params) as record:
        source = open_checkpoint(directory / checkpoint)
        with replacing(output) as temporary:
            agreement = make_gguf(spec, source, temporary, Reference.of(source, text))
            kept = fallbacks(temporary, spec.type)
        _note(record, name, agreement, output.stat().st_size)
        record.metrics[f"export/{name}_fallback_matrices"] = sum(kept.values())
    if kept:
        log.warning(
            "%s: %d matrices have rows that are no multiple of %d, which %s wants, and are kept in %s: the file is "
            "larger for it, perhaps larger than the unpruned model's (limits.width_multiple: %d avoids it for rows of "
            "MLP channels, nothing for rows of the hidden size)",
            output,
            sum(kept.values()),
            ROWS[spec.type],
            spec.type,
            ", ".join(f"{kind} ({count})" for kind, count in kept.items()),
            ROWS[spec.type],
        )
    _say(output, output.stat().st_size, agreement)


def write_gguf_baseline(spec: GgufBaselineSpec, key: str, facts: ModelFacts, output: Path) -> None:
    """Write the unpruned model as ``gguf/{type}.gguf``, each compared as an export is, and ``record.json``.

    Raises:
        ExportError: see `write_gguf_export`; no folder is left then.
    """
    llama_cpp.check_installed()
    types = {"types": [told.type for told in spec.files]}
    with recording(spec.step, key, output / "record.json", types) as record:
        checkpoint = open_checkpoint(Path(facts.path))
        reference = Reference.of(checkpoint)
        with replacing_directory(output / "gguf") as folder:
            for told in spec.files:
                file = folder / f"{told.type}.gguf"
                agreement = make_gguf(told, checkpoint, file, reference)
                _note(record, f"gguf_{told.type}", agreement, file.stat().st_size)
                _say(output / "gguf" / file.name, file.stat().st_size, agreement)


def write_uniform_export(directory: Path, text: Path | None = None, checkpoint: str = MODEL) -> None:
    """Write ``export/uniform``, a checkpoint padded with zeros, and ``records/export_uniform.json``.

    Args:
        directory, text, checkpoint: see `write_gguf_export`.

    Raises:
        ExportError: the padded model computes something else; no folder is left then.
    """
    output = directory / "export/uniform"
    record_path, params = directory / "records/export_uniform.json", {"checkpoint": checkpoint}
    with recording("export_uniform", directory.name, record_path, params) as record:
        source = open_checkpoint(directory / checkpoint)
        with replacing_directory(output) as temporary:
            stored = write_uniform(source, temporary)
            needed = sum(math.prod(shape) for shape in source.parameters.values())
            reference = Reference.of(source, text)
            agreement = reference.compare_checkpoint(temporary).require("the padded checkpoint", EXACT)
        size = sum(file.stat().st_size for file in output.glob("*.safetensors"))
        _note(record, "uniform", agreement, size)
        record.metrics |= {"export/uniform_parameters": stored, "export/uniform_parameters_needed": needed}
    _say(output, size, agreement)
    zeros = 100 * (1 - needed / stored)
    log.info("it stores %s parameters where %s are needed: %.1f %% are zeros", f"{stored:,}", f"{needed:,}", zeros)


def make_gguf(spec: GgufSpec, checkpoint: Checkpoint, output: Path, reference: Reference) -> Agreement:
    """Write a checkpoint as GGUF and compare it; what is quantised is compared before that, too.

    Raises:
        ExportError: see `write_gguf_export`.
    """
    if spec.rounded is None:
        write_gguf(checkpoint, output, spec.type, spec.pre_tokenizer)
        reference.check_tokens(output)
        return reference.compare_gguf(output).require(f"{spec.type}.gguf", spec.exact)
    check_rows(checkpoint, spec.type)
    own = {torch.bfloat16: "bf16", torch.float16: "f16"}.get(checkpoint.config.dtype, "f32")
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        source = Path(folder) / f"{own}.gguf"
        make_gguf(spec.model_copy(update={"type": own, "rounded": None}), checkpoint, source, reference)
        llama_cpp.quantise(source, output, spec.type)
    return reference.compare_gguf(output).require(f"{spec.type}.gguf", spec.rounded)


def check_rows(checkpoint: Checkpoint, file_type: str) -> None:
    """Raise `ExportError` for matrices that llama.cpp can neither quantise nor keep in a larger type."""
    if file_type == "q4_k_m":
        return
    rows = ROWS[file_type]
    for entry in tensors(checkpoint):
        if len(entry.shape) > 1 and entry.shape[-1] % rows:
            raise ExportError(
                f"llama.cpp cannot quantise {entry.name} to {file_type}: its rows of {entry.shape[-1]} are no multiple "
                f"of {rows}; prune with limits.width_multiple: {rows}, or export q4_k_m, which keeps such rows in F16"
            )


def fallbacks(file: Path, file_type: str) -> Counter[str]:
    """Count, by the type that llama.cpp chose instead, the matrices whose rows do not fit `file_type`."""
    if file_type != "q4_k_m":
        return Counter()
    matrices = (tensor for tensor in gguf.GGUFReader(file).tensors if len(tensor.shape) > 1)
    return Counter(tensor.tensor_type.name for tensor in matrices if tensor.shape[0] % ROWS[file_type])


def _note(record: StepRecord, name: str, agreement: Agreement, size: int) -> None:
    record.metrics |= {
        f"export/{name}_bytes": size,
        f"export/{name}_agreement": agreement.top1,
        f"export/{name}_kl_nats": agreement.kl,
    }


def _say(output: Path, size: int, agreement: Agreement) -> None:
    log.info(
        "%s: %s bytes; as the checkpoint: %.1f %% of the most likely tokens at %d positions, mean KL %.2g nats",
        output,
        f"{size:,}",
        100 * agreement.top1,
        agreement.positions,
        agreement.kl,
    )
