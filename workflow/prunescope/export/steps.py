"""The export steps: write, compare with the checkpoint, keep or refuse, record."""

import logging
import math
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import torch

from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder, GgufBaselineFolder, ModelFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Closeness
from prunescope.errors import ExportError
from prunescope.export import llama_cpp
from prunescope.export.agreement import Agreement, Reference
from prunescope.export.gguf_file import tensors, write_gguf
from prunescope.export.source import Source, open_source
from prunescope.export.uniform import write_uniform
from prunescope.files import replacing, replacing_directory
from prunescope.packages import LLAMA_CPP
from prunescope.steps.evaluation import GgufBaselineSpec
from prunescope.steps.export import GgufExportSpec, GgufSpec, UniformSpec
from prunescope.steps.job import Job

log = logging.getLogger(__name__)

ROWS = {"q8_0": 32, "q4_0": 32, "q4_k_m": 256}
"""By type: what the rows of a matrix are multiples of. llama.cpp keeps others in a larger type (q4_k_m) or stops."""

EXACT = Closeness(min_agreement=0.99, max_kl=1e-5)
"""Of a padded checkpoint: float32 sums in another order, nothing else."""


def export_gguf(job: Job[GgufExportSpec, ExperimentFolder], text: Path | None = None) -> None:
    """Write a checkpoint as GGUF.

    Args:
        text: file with the text to compare on; None: the one that is built in.

    Raises:
        ConfigError: llama.cpp is not there.
        ExportError: it has no form for the model, or computes something else from the file; no file is left then.
    """
    LLAMA_CPP.require()
    spec, output = job.spec, job.folder.named(ExperimentFolder.gguf, type=job.spec.type).path
    with job.recording(spec.model_dump(mode="json", include={*GgufSpec.model_fields, "checkpoint"})) as record:
        checkpoint = open_source(job.folder.path / spec.checkpoint)
        with replacing(output) as temporary:
            agreement = make_gguf(spec, checkpoint, temporary, Reference.of(checkpoint, text))
            kept = fallbacks(temporary, spec.type)
        _note(record, spec.task, output, output.stat().st_size, agreement)
        record.metrics[f"export/{spec.task}_fallback_matrices"] = sum(kept.values())
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


def export_baseline(job: Job[GgufBaselineSpec, GgufBaselineFolder]) -> None:
    """Write the unpruned model as GGUF in every type of the spec, each compared as an export is.

    Raises:
        ConfigError, ExportError: see `export_gguf`; no folder is left then.
    """
    LLAMA_CPP.require()
    facts = job.input(ModelFolder).ready()
    with job.recording({"types": [told.type for told in job.spec.files]}) as record:
        checkpoint = open_source(Path(facts.path))
        reference = Reference.of(checkpoint)
        with replacing_directory(job.folder.gguf.path) as temporary:
            for told in job.spec.files:
                output = job.folder.named(GgufBaselineFolder.file, type=told.type).path
                file = temporary / output.name
                agreement = make_gguf(told, checkpoint, file, reference)
                _note(record, f"gguf_{told.type}", output, file.stat().st_size, agreement)


def export_uniform(job: Job[UniformSpec, ExperimentFolder], text: Path | None = None) -> None:
    """Write a checkpoint padded with zeros to a stock one.

    Args:
        text: see `export_gguf`.

    Raises:
        ExportError: the padded model computes something else; no folder is left then.
    """
    output = job.folder.uniform.path
    with job.recording({"checkpoint": job.spec.checkpoint}) as record:
        checkpoint = open_source(job.folder.path / job.spec.checkpoint)
        with replacing_directory(output) as temporary:
            stored = write_uniform(checkpoint, temporary)
            reference = Reference.of(checkpoint, text)
            agreement = reference.compare_checkpoint(temporary).require("the padded checkpoint", EXACT)
        needed = sum(math.prod(shape) for shape in checkpoint.parameters.values())
        _note(record, job.spec.task, output, CheckpointFolder(output).stored_bytes, agreement)
        record.metrics |= {"export/uniform_parameters": stored, "export/uniform_parameters_needed": needed}
    zeros = 100 * (1 - needed / stored)
    log.info("it stores %s parameters where %s are needed: %.1f %% are zeros", f"{stored:,}", f"{needed:,}", zeros)


def make_gguf(spec: GgufSpec, checkpoint: Source, output: Path, reference: Reference) -> Agreement:
    """Write a checkpoint as GGUF and compare it; what is quantised is compared before that, too.

    Raises:
        ExportError: see `export_gguf`.
    """
    if spec.rounded is None:
        write_gguf(checkpoint, output, spec.type, spec.pre_tokenizer)
        reference.check_tokens(output)
    else:
        check_rows(checkpoint, spec.type)
        own = {torch.bfloat16: "bf16", torch.float16: "f16"}.get(checkpoint.config.dtype, "f32")
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            source = Path(folder) / f"{own}.gguf"
            make_gguf(spec.model_copy(update={"type": own, "rounded": None}), checkpoint, source, reference)
            llama_cpp.quantise(source, output, spec.type)
    return reference.compare_gguf(output).require(f"{spec.type}.gguf", spec.limits)


def check_rows(checkpoint: Source, file_type: str) -> None:
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


def _note(record: StepRecord, name: str, output: Path, size: int, agreement: Agreement) -> None:
    record.metrics |= {
        f"export/{name}_bytes": size,
        f"export/{name}_agreement": agreement.top1,
        f"export/{name}_kl_nats": agreement.kl,
    }
    log.info(
        "%s: %s bytes; as the checkpoint: %.1f %% of the most likely tokens at %d positions, mean KL %.2g nats",
        output,
        f"{size:,}",
        100 * agreement.top1,
        agreement.positions,
        agreement.kl,
    )
