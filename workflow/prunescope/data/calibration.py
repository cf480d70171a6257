"""The calibration step: windows of tokens that importance is measured on, and where they come from."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from prunescope.artifacts.record import recording
from prunescope.config.sections import DatasetSource
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, pack
from prunescope.data.sources import about, origin, read_documents, split_name
from prunescope.data.tokenizer import Encoder, load_encoder
from prunescope.data.windows import check_window
from prunescope.errors import ConfigError
from prunescope.files import replacing, write_json
from prunescope.steps.specs import CalibrationSpec

log = logging.getLogger(__name__)


def write_calibration(
    spec: CalibrationSpec,
    tokenizer: str | Path,
    corpora: dict[str, Path],
    output: Path,
    key: str,
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
    params = spec.model_dump(include={"dataset", "samples", "seq_len", "seed"})
    with recording(spec.step, key, output / "record.json", params) as record:
        tokens, manifest = draw_windows(spec, corpora, load_encoder(tokenizer))
        with replacing(output / "samples.safetensors") as temporary:
            save_file({"input_ids": tokens}, temporary)
        write_json(output / "manifest.json", manifest)
        record.metrics = {"calibration/tokens": tokens.size, "calibration/documents": manifest["documents"]}
        record.artifacts = ["manifest.json"]
    log.info("%d windows of %d tokens from %d documents", *tokens.shape, manifest["documents"])


def draw_windows(
    spec: CalibrationSpec, corpora: dict[str, Path], encode: Encoder, fewer: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return windows of the calibration splits, int32 ``[samples, seq_len]``, and where they come from.

    Args:
        fewer: be content with the windows that a text fills.

    Raises:
        DataError: a text is too short. ConfigError: fewer samples than texts.
    """
    drawn = {name: _draw(spec, name, count, corpora, encode, fewer) for name, count in shares(spec).items()}
    tokens = np.concatenate([packed.tokens for packed in drawn.values()])
    if len(drawn) > 1:  # batches, and halves of the set, should hold every text
        tokens = np.random.default_rng(spec.seed).permutation(tokens)
    return tokens, describe(spec, drawn, tokens)


def shares(spec: CalibrationSpec) -> dict[str, int]:
    """Divide the samples among the texts of a mixture by weight (largest remainders); each gets at least one.

    Raises:
        ConfigError: fewer samples than texts.
    """
    names = list(spec.texts)
    if len(names) > spec.samples:
        raise ConfigError(
            f"calibration.samples = {spec.samples}: fewer than the {len(names)} texts of the mixture '{spec.dataset}'"
        )
    weights = np.array([spec.weights.get(name, 1.0) for name in names])
    exact = weights / weights.sum() * (spec.samples - len(names))
    counts = np.floor(exact).astype(int) + 1
    most_left = np.argsort(np.floor(exact) - exact, kind="stable")
    counts[most_left[: spec.samples - counts.sum()]] += 1
    return dict(zip(names, counts.tolist(), strict=True))


def _draw(
    spec: CalibrationSpec, name: str, count: int, corpora: dict[str, Path], encode: Encoder, fewer: bool
) -> Packed:
    source = spec.texts[name].source
    with about(name):
        documents = read_documents(source, "calibration", corpora.get(name))
        buffer = SHUFFLE_BUFFER if source.streaming else None
        return pack(documents, encode, count, spec.seq_len, spec.seed, buffer, fewer)


def describe(spec: CalibrationSpec, drawn: dict[str, Packed], tokens: np.ndarray) -> dict[str, Any]:
    """Return what is kept in ``manifest.json``: where the tokens come from."""
    texts = {name: _text(spec.texts[name].source, packed) for name, packed in drawn.items()}
    first, *others = texts.values()
    return {
        "source": " + ".join(str(text["source"]) for text in texts.values()),
        "revision": None if others else first["revision"],
        "documents": sum(len(packed.document_ids) for packed in drawn.values()),
        "sha256": tokens_sha256(tokens),
        "tokens": tokens.size,
        "samples": len(tokens),
        "seq_len": spec.seq_len,
        "seed": spec.seed,
        "bos": False,
        "texts": texts,
    }


def _text(source: DatasetSource, packed: Packed) -> dict[str, Any]:
    return {
        "source": origin(source),
        "revision": source.revision,
        "split": split_name(source, "calibration"),
        "windows": len(packed.tokens),
        "documents": len(packed.document_ids),
        "document_ids": packed.document_ids,
    }


def tokens_sha256(tokens: np.ndarray) -> str:
    """Return the SHA-256 of int32 tokens, little-endian, in row order."""
    return hashlib.sha256(np.ascontiguousarray(tokens, "<i4")).hexdigest()
