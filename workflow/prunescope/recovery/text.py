"""The recovery-text step: what the pruned model is trained on, as rows of tokens with what is learned of them."""

import logging
from collections.abc import Iterable
from random import Random
from typing import Any, get_args

import numpy as np
import torch

from prunescope.artifacts.folders import ModelFolder, RecoveryTextFolder
from prunescope.artifacts.manifests import CalibrationManifest, RecoveryManifest
from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Purpose
from prunescope.data.calibration import SHOWN, describe, draw_windows
from prunescope.data.conversations import Conversation, parts, read_conversations
from prunescope.data.documents import at
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, shuffled
from prunescope.data.reading import about
from prunescope.data.tokenizer import Encoder, check_window, encoder, load_encoder, load_tokenizer
from prunescope.errors import DataError
from prunescope.steps.job import Job
from prunescope.steps.texts import RecoveryTextSpec

log = logging.getLogger(__name__)

NOT_LEARNED = -100
"""Label of a token whose prediction does not count."""


def draw_recovery_text(job: Job[RecoveryTextSpec, RecoveryTextFolder]) -> None:
    """Write full windows of text, or one conversation per row, with what is learned of them, and their manifest.

    A label is the token, or `NOT_LEARNED` where it is prompt or padding.

    Raises:
        DataError: text or tokenizer cannot be obtained, or there is nothing to learn.
        ConfigError: a window is longer than the model takes.
    """
    spec, facts = job.spec, job.input(ModelFolder).ready()
    check_window("recovery.seq_len", spec.seq_len, facts.context)
    with job.recording(spec.model_dump(include=SHOWN)) as record:
        if any(text.source.instruction for text in spec.texts.values()):
            tokens, labels, drawn = _draw_conversations(spec, facts.path)
        else:
            tokens, drawn = draw_windows(spec, load_encoder(facts.path), fewer=True)
            labels = tokens.copy()  # tensors of one file share no memory
        learned = int((labels != NOT_LEARNED).sum())
        job.folder.samples.write({"input_ids": torch.from_numpy(tokens), "labels": torch.from_numpy(labels)})
        job.folder.manifest.write(RecoveryManifest(**dict(drawn), learned_tokens=learned))
        counts = {"tokens": drawn.tokens, "learned_tokens": learned, "documents": drawn.documents}
        record.metrics = {f"recovery_text/{name}": count for name, count in counts.items()}
    log.info("%d rows of %s from %d documents", len(tokens), spec.dataset, drawn.documents)


def _draw_conversations(spec: RecoveryTextSpec, path: str) -> tuple[np.ndarray, np.ndarray, CalibrationManifest]:
    """Return tokens and labels of conversations in random order, int32 ``[rows, seq_len]``, and their manifest."""
    source, tokenizer = spec.texts[spec.dataset].source, load_tokenizer(path)
    buffer = SHUFFLE_BUFFER if source.streaming else None
    with about(spec.dataset):
        found = shuffled(read_conversations(source, "calibration"), Random(spec.seed), buffer)
        encode = encoder(tokenizer, path)
        rows, ids = _take(found, tokenizer, encode, spec.samples * spec.seq_len, spec.seq_len)
        if not rows:
            raise DataError(_nothing_learned(source, spec.seq_len))
    tokens = _padded([tokens for tokens, _ in rows], spec.seq_len, 0)
    labels = _padded([labels for _, labels in rows], spec.seq_len, NOT_LEARNED)
    manifest = describe(spec, {spec.dataset: Packed(tokens, ids)}, tokens)
    return tokens, labels, manifest.model_copy(update={"tokens": sum(len(tokens) for tokens, _ in rows)})


def _take(
    conversations: Iterable[Conversation], tokenizer: Any, encode: Encoder, budget: int, longest: int
) -> tuple[list[tuple[list[int], list[int]]], list[str]]:
    """Return (tokens, labels) of conversations up to a budget of tokens, and their ids."""
    rows, ids, total, left_out = [], [], 0, 0
    for conversation in conversations:
        with at(conversation.place):
            tokens, labels = tokenise(parts(conversation.messages, tokenizer), encode, longest)
        if not tokens:
            left_out += 1
            continue
        rows.append((tokens, labels))
        ids.append(conversation.id)
        total += len(tokens)
        if total >= budget:
            break
    if rows and left_out:
        log.warning("%d conversations left out: no response within the first %d tokens", left_out, longest)
    return rows, ids


def _nothing_learned(source: DatasetSource, longest: int) -> str:
    """Say why there is no row to train on: no conversations for calibration, or none that is short enough."""
    purposes = ("calibration",) if source.hub else get_args(Purpose)
    counts = {purpose: sum(1 for _ in read_conversations(source, purpose)) for purpose in purposes}
    if counts["calibration"]:
        return f"no conversation begins its response within {longest} tokens: raise recovery.seq_len"
    there = ", ".join(f"{purpose} {count}" for purpose, count in counts.items())
    return f"no conversation with a response to train on (what there is: {there}): give more data, or other columns"


def tokenise(pieces: list[tuple[str, bool]], encode: Encoder, longest: int) -> tuple[list[int], list[int]]:
    """Return the tokens of a conversation and their labels, cut after `longest`; none if no response is within.

    Pieces are encoded one by one, as they are when the model is asked: the prompt is there before the response.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for text, learned in pieces:
        encoded = encode(text)
        tokens += encoded
        labels += encoded if learned else [NOT_LEARNED] * len(encoded)
    tokens, labels = tokens[:longest], labels[:longest]
    while labels and labels[-1] == NOT_LEARNED:
        labels.pop()
    return tokens[: len(labels)], labels


def _padded(rows: list[list[int]], length: int, fill: int) -> np.ndarray:
    return np.array([row + [fill] * (length - len(row)) for row in rows], np.int32)
