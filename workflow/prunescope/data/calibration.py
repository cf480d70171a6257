"""The calibration step: windows of tokens that importance is measured on, and where they come from."""

import hashlib
import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from prunescope.config.sections import DatasetSource
from prunescope.config.specs import CalibrationSpec
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, pack
from prunescope.data.sources import about, origin, read_documents, split_name
from prunescope.data.tokenizer import load_encoder
from prunescope.data.windows import check_window
from prunescope.files import replacing, write_json
from prunescope.tracking.record import recording

log = logging.getLogger(__name__)


def write_calibration(
    spec: CalibrationSpec,
    tokenizer: str | Path,
    corpora: dict[str, Path],
    output: Path,
    key: str,
    trust_remote_code: bool = False,
    context: int | None = None,
) -> None:
    """Write ``samples.safetensors``, ``manifest.json`` and ``record.json`` into the folder `output`.

    The tensor ``input_ids`` is int32 ``[samples, seq_len]``, full windows without BOS or padding.

    Args:
        tokenizer: folder of a tokenizer, or a hub id.
        corpora: dataset name -> corpus file, for embedded texts.
        key: the step's key, for its record.
        context: longest window of the model, in tokens; None: unknown.

    Raises:
        DataError: the text or the tokenizer cannot be obtained, or the text is too short.
        ConfigError: a window is longer than the model takes.
    """
    check_window("calibration.seq_len", spec.seq_len, context)
    source = spec.text_source.source
    params = spec.model_dump(include={"dataset", "samples", "seq_len", "seed"})
    with recording(spec.step, key, output / "record.json", params) as record, about(spec.dataset):
        packed = pack(
            read_documents(source, "calibration", corpora.get(spec.dataset)),
            load_encoder(tokenizer, trust_remote_code),
            spec.samples,
            spec.seq_len,
            spec.seed,
            buffer=SHUFFLE_BUFFER if source.streaming else None,
        )
        with replacing(output / "samples.safetensors") as temporary:
            save_file({"input_ids": packed.tokens}, temporary)
        write_json(output / "manifest.json", _manifest(spec, source, packed))
        record.metrics = {
            "calibration/tokens": packed.tokens.size,
            "calibration/documents": len(packed.document_ids),
        }
        record.artifacts = ["manifest.json"]
    log.info("%d windows of %d tokens from %d documents", *packed.tokens.shape, len(packed.document_ids))


def _manifest(spec: CalibrationSpec, source: DatasetSource, packed: Packed) -> dict[str, object]:
    return {
        "source": origin(source),
        "revision": source.revision,
        "split": split_name(source, "calibration"),
        "documents": len(packed.document_ids),
        "document_ids": packed.document_ids,
        "sha256": tokens_sha256(packed.tokens),
        "tokens": packed.tokens.size,
        "samples": spec.samples,
        "seq_len": spec.seq_len,
        "seed": spec.seed,
        "bos": False,
    }


def tokens_sha256(tokens: np.ndarray) -> str:
    """Return the SHA-256 of int32 tokens, little-endian, in row order."""
    return hashlib.sha256(np.ascontiguousarray(tokens, "<i4")).hexdigest()
