"""The recovery-text step: what the pruned model is trained on, as rows of tokens with what is learned of them."""

import logging
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from prunescope.artifacts.record import recording
from prunescope.data.calibration import describe, draw_windows
from prunescope.data.conversations import Conversation, chat_template, parts, read_conversations
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, shuffled
from prunescope.data.sources import about
from prunescope.data.tokenizer import load_encoder
from prunescope.data.windows import check_window
from prunescope.errors import DataError
from prunescope.files import replacing, write_json
from prunescope.steps.specs import RecoveryTextSpec

log = logging.getLogger(__name__)

NOT_LEARNED = -100
"""Label of a token whose prediction does not count."""


def write_recovery_text(
    spec: RecoveryTextSpec,
    tokenizer: str | Path,
    corpora: dict[str, Path],
    output: Path,
    key: str,
    context: int | None = None,
) -> None:
    """Write ``samples.safetensors``, ``manifest.json`` and ``record.json`` into the folder `output`.

    ``input_ids`` and ``labels`` are int32 ``[rows, seq_len]``: full windows of text, or one conversation per row. A
    label is the token, or `NOT_LEARNED` where it is prompt or padding.

    Args:
        tokenizer, corpora, key, context: as of the calibration step.

    Raises:
        DataError: text or tokenizer cannot be obtained, or there is nothing to learn.
        ConfigError: a window is longer than the model takes.
    """
    check_window("recovery.seq_len", spec.seq_len, context)
    params = spec.model_dump(include={"dataset", "samples", "seq_len", "seed"})
    with recording(spec.step, key, output / "record.json", params) as record:
        if any(text.source.instruction for text in spec.texts.values()):
            tokens, labels, manifest = _draw_conversations(spec, tokenizer)
        else:
            tokens, manifest = draw_windows(spec, corpora, load_encoder(tokenizer), fewer=True)
            labels = tokens
        manifest["learned_tokens"] = int((labels != NOT_LEARNED).sum())
        with replacing(output / "samples.safetensors") as temporary:
            save_file({"input_ids": tokens, "labels": labels}, temporary)
        write_json(output / "manifest.json", manifest)
        record.metrics = {f"recovery_text/{name}": manifest[name] for name in ("tokens", "learned_tokens", "documents")}
        record.artifacts = ["manifest.json"]
    log.info("%d rows of %s from %d documents", len(tokens), spec.dataset, manifest["documents"])


def _draw_conversations(spec: RecoveryTextSpec, path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return tokens and labels of conversations in random order, int32 ``[rows, seq_len]``, and the manifest."""
    from prunescope.models.loading import load_tokenizer

    source, tokenizer = spec.texts[spec.dataset].source, load_tokenizer(path)
    with about(spec.dataset):
        found = shuffled(
            read_conversations(source, "calibration"),
            Random(spec.seed),
            SHUFFLE_BUFFER if source.streaming else None,
        )
        rows, ids = _take(found, tokenizer, spec.samples * spec.seq_len, spec.seq_len)
    count = sum(len(tokens) for tokens, _ in rows)
    tokens = _padded([tokens for tokens, _ in rows], spec.seq_len, 0)
    labels = _padded([labels for _, labels in rows], spec.seq_len, NOT_LEARNED)
    manifest = describe(spec, {spec.dataset: Packed(tokens, ids)}, tokens)
    return tokens, labels, manifest | {"tokens": count}


def _take(
    conversations: Iterable[Conversation], tokenizer: Any, budget: int, longest: int
) -> tuple[list[tuple[list[int], list[int]]], list[str]]:
    """Return (tokens, labels) of conversations up to a budget of tokens, and their ids."""
    rows, ids, total, left_out = [], [], 0, 0
    template, end = chat_template(tokenizer), tokenizer.eos_token or ""
    for conversation in conversations:
        tokens, labels = tokenise(parts(conversation, template, end), tokenizer, longest)
        if not tokens:
            left_out += 1
            continue
        rows.append((tokens, labels))
        ids.append(conversation.id)
        total += len(tokens)
        if total >= budget:
            break
    if not rows:
        raise DataError(f"no conversation begins its response within {longest} tokens: raise recovery.seq_len")
    if left_out:
        log.warning("%d conversations left out: no response within the first %d tokens", left_out, longest)
    return rows, ids


def tokenise(pieces: list[tuple[str, bool]], tokenizer: Any, longest: int) -> tuple[list[int], list[int]]:
    """Return the tokens of a conversation and their labels, cut after `longest`; none if no response is within.

    Pieces are encoded one by one, as they are when the model is asked: the prompt is there before the response.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for text, learned in pieces:
        encoded = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        tokens += encoded
        labels += encoded if learned else [NOT_LEARNED] * len(encoded)
    tokens, labels = tokens[:longest], labels[:longest]
    while labels and labels[-1] == NOT_LEARNED:
        labels.pop()
    return tokens[: len(labels)], labels


def _padded(rows: list[list[int]], length: int, fill: int) -> np.ndarray:
    return np.array([row + [fill] * (length - len(row)) for row in rows], np.int32)
