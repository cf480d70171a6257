"""The calibration step: windows of tokens that importance is measured on, and where they come from."""

import hashlib
import logging

import numpy as np

from prunescope.artifacts.folders import CalibrationFolder, ModelFolder
from prunescope.artifacts.manifests import CalibrationManifest, DrawnDocuments
from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Purpose
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, pack
from prunescope.data.reading import about, divided, origin, read_documents, split_name
from prunescope.data.splits import telling_sizes
from prunescope.data.tokenizer import Encoder, check_window, load_encoder
from prunescope.errors import ConfigError
from prunescope.steps.job import Job
from prunescope.steps.texts import CalibrationSpec

log = logging.getLogger(__name__)

SHOWN = {"dataset", "samples", "seq_len", "seed"}
"""Settings that tracking shows."""


def calibrate(job: Job[CalibrationSpec, CalibrationFolder]) -> None:
    """Write full windows of tokens without BOS or padding, and their manifest.

    Raises:
        DataError: the text or the tokenizer cannot be obtained, or the text is too short.
        ConfigError: a window is longer than the model takes.
    """
    from torch import from_numpy

    facts = job.input(ModelFolder).ready()
    check_window("calibration.seq_len", job.spec.seq_len, facts.context)
    with job.recording(job.spec.model_dump(include=SHOWN)) as record:
        tokens, manifest = draw_windows(job.spec, load_encoder(facts.path))
        job.folder.samples.write({"input_ids": from_numpy(tokens)})
        job.folder.manifest.write(manifest)
        record.metrics = {"calibration/tokens": tokens.size, "calibration/documents": manifest.documents}
    log.info("%d windows of %d tokens from %d documents", *tokens.shape, manifest.documents)


def draw_windows(spec: CalibrationSpec, encode: Encoder, fewer: bool = False) -> tuple[np.ndarray, CalibrationManifest]:
    """Return windows of the calibration splits, int32 ``[samples, seq_len]``, and where they come from.

    Args:
        fewer: accept as many windows as a text fills.

    Raises:
        DataError: a text is too short. ConfigError: fewer samples than texts.
    """
    drawn = {}
    for name, count in shares(spec).items():
        source = spec.texts[name].source
        with about(name), telling_sizes(source, "calibration", name, encode):
            documents = read_documents(source, "calibration", name)
            buffer = SHUFFLE_BUFFER if source.streaming else None
            drawn[name] = pack(documents, encode, count, spec.seq_len, spec.seed, buffer, fewer)
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


def describe(spec: CalibrationSpec, drawn: dict[str, Packed], tokens: np.ndarray) -> CalibrationManifest:
    """Return where tokens come from; `drawn`: the windows of each text."""
    texts = {name: documents_of(spec.texts[name].source, packed, "calibration") for name, packed in drawn.items()}
    first, *others = texts.values()
    return CalibrationManifest(
        source=" + ".join(text.source for text in texts.values()),
        revision=None if others else first.revision,
        documents=sum(text.documents for text in texts.values()),
        sha256=tokens_sha256(tokens),
        tokens=tokens.size,
        samples=len(tokens),
        seq_len=spec.seq_len,
        seed=spec.seed,
        bos=False,
        texts=texts,
    )


def documents_of(source: DatasetSource, packed: Packed, purpose: Purpose) -> DrawnDocuments:
    """Return where the windows of one text come from."""
    return DrawnDocuments(
        source=origin(source),
        revision=source.revision,
        split=split_name(source, purpose),
        windows=len(packed.tokens),
        documents=len(packed.document_ids),
        **divided(source),
        document_ids=packed.document_ids,
    )


def tokens_sha256(tokens: np.ndarray) -> str:
    """Return the SHA-256 of int32 tokens, little-endian, in row order."""
    return hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest()
