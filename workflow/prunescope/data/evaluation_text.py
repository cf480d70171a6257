"""The evaluation-text step: the same test tokens for the baseline and for every pruned model."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from prunescope.artifacts.record import recording
from prunescope.config.protocols import Protocol
from prunescope.data.calibration import tokens_sha256
from prunescope.data.documents import SEPARATOR, Document
from prunescope.data.sources import about, origin, read_documents, split_name
from prunescope.data.tokenizer import Encoder, load_encoder
from prunescope.data.windows import check_window, cut_spans
from prunescope.files import replacing, write_json
from prunescope.steps.specs import EvaluationTextSpec, TextSpec

log = logging.getLogger(__name__)

BATCH_CHARACTERS = 1_000_000
"""Text tokenised at once: documents are joined first, so that tokens are those of running text."""

STREAM_TOKENS = 1_000_000
"""Tokens read from a streamed split, or four times those evaluated if that is more."""


def write_evaluation_text(
    spec: EvaluationTextSpec,
    tokenizer: str | Path,
    corpora: dict[str, Path],
    output: Path,
    key: str,
    context: int | None = None,
) -> None:
    """Write ``windows.safetensors``, ``manifest.json`` and ``record.json`` into the folder `output`.

    Tensors are named ``{dataset}/{protocol}``, int32 ``[spans, tokens]``, spread evenly over the test split.

    Args:
        tokenizer: folder of a tokenizer, or a hub id.
        corpora: dataset name -> corpus file, for embedded texts.
        key: the step's key, for its record.
        context: longest window of the model, in tokens; None: unknown.

    Raises:
        DataError: a text or the tokenizer cannot be obtained, or a text is shorter than a window.
        ConfigError: a window is longer than the model takes.
    """
    protocols = [Protocol.parse(name) for name in spec.protocols]
    check_window("evaluation.protocols: window", max(protocol.window for protocol in protocols), context)
    params = {"datasets": list(spec.texts), "protocols": spec.protocols, "max_tokens": spec.max_tokens}
    with recording(spec.step, key, output / "record.json", params) as record:
        encode = load_encoder(tokenizer)
        tensors: dict[str, np.ndarray] = {}
        manifest: dict[str, Any] = {}
        for name, text in spec.texts.items():
            with about(name):
                spans, manifest[name] = _cut(text, corpora.get(name), encode, protocols, spec.max_tokens)
            tensors |= {f"{name}/{protocol}": tokens for protocol, tokens in spans.items()}
            record.metrics[f"evaluation_text/{name}/tokens"] = manifest[name]["tokens"]
            log.info("%s: %d tokens of test text", name, manifest[name]["tokens"])
        with replacing(output / "windows.safetensors") as temporary:
            save_file(tensors, temporary)
        write_json(output / "manifest.json", manifest)
        record.artifacts = ["manifest.json"]


def _cut(
    text: TextSpec, corpus: Path | None, encode: Encoder, protocols: list[Protocol], max_tokens: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the spans by protocol, int32 ``[n, length]``, and the manifest of one text."""
    source = text.source
    enough = max(STREAM_TOKENS, 4 * max_tokens) if source.streaming else None
    tokens, documents = tokenize(read_documents(source, "test", corpus), encode, enough)
    spans = {protocol.name: cut_spans(tokens, protocol, max_tokens) for protocol in protocols}
    manifest = {
        "source": origin(source),
        "revision": source.revision,
        "split": split_name(source, "test"),
        "documents": documents,
        "tokens": len(tokens),
        "whole_split": enough is None or len(tokens) < enough,
        "tokens_used": {name: span.size for name, span in spans.items()},
        "sha256": tokens_sha256(tokens),
    }
    return spans, manifest


def tokenize(documents: Iterable[Document], encode: Encoder, enough: int | None = None) -> tuple[np.ndarray, int]:
    """Return the tokens of documents joined by blank lines, int32 ``[T]``, and how many documents they are.

    Reading stops once there are `enough` tokens (None: at the end); T is then at least that.
    """
    parts, total, count = [np.empty(0, np.int32)], 0, 0
    for batch in _batches(documents):
        lead = SEPARATOR if count else ""
        parts.append(np.array(encode(lead + SEPARATOR.join(document.text for document in batch)), np.int32))
        total += len(parts[-1])
        count += len(batch)
        if enough is not None and total >= enough:
            break
    return np.concatenate(parts), count


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
