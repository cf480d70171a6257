"""Calibration windows: documents packed into a stream and cut, so that no token is padding."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from prunescope.data.documents import SEPARATOR, Document, Item, TooShortError
from prunescope.data.tokenizer import Encoder

PIECE_WINDOWS = 2
"""Windows that one visit to a document may fill: a few samples would otherwise all show one long article."""

SHUFFLE_BUFFER = 10_000
"""Documents held back to shuffle a stream."""


@dataclass(frozen=True)
class Packed:
    """Windows, int32 ``[samples, seq_len]``, and the documents that they were cut from, in that order."""

    tokens: np.ndarray
    document_ids: list[str]


def pack(
    documents: Iterable[Document],
    encode: Encoder,
    samples: int,
    seq_len: int,
    seed: int,
    buffer: int | None = SHUFFLE_BUFFER,
    fewer: bool = False,
    skip: int = 0,
) -> Packed:
    """Cut `samples` full windows, without BOS, from the documents, visited in an order that `seed` decides.

    Each visit takes one piece of at most ``PIECE_WINDOWS * seq_len`` tokens from a document, chosen by the seed;
    documents are visited again for their other pieces only when the text runs out. A blank line joins pieces.

    Args:
        buffer: documents held to shuffle a stream; None: read all first, so that every order is as likely.
        fewer: accept as many windows as the text fills, if it fills one.
        skip: windows to leave out at the beginning: all that another call with the same seed cuts.

    Raises:
        TooShortError: the text is too short.
    """
    random, separator = Random(seed), separator_tokens(encode)
    stream: list[np.ndarray] = []
    ids: dict[str, None] = {}
    length = 0
    for document_id, piece in _pieces(shuffled(documents, random, buffer), encode, PIECE_WINDOWS * seq_len, random):
        stream.append(np.concatenate([separator, piece]) if stream else piece)
        length += len(stream[-1])
        if length > skip * seq_len:
            ids[document_id] = None
        if length >= (skip + samples) * seq_len:
            break
    windows = min(samples, max(0, length // seq_len - skip))
    if windows == 0 or (windows < samples and not fewer):
        remedy = f"set calibration.samples to at most {windows}"
        if not windows:
            remedy = "shorten calibration.seq_len (for recovery: recovery.seq_len)"
        raise TooShortError(
            f"the calibration text fills {windows} windows of {seq_len} tokens, {samples} were asked for: {remedy}, "
            "or give more text"
        )
    tokens = np.concatenate(stream)[skip * seq_len : (skip + windows) * seq_len]
    return Packed(tokens.reshape(windows, seq_len), list(ids))


def separator_tokens(encode: Encoder) -> np.ndarray:
    """Return the tokens of a blank line as the tokenizer splits it inside running text, int32 ``[n]``.

    Encoded on its own a blank line is often one token that hardly occurs between two words.
    """
    word, joined = encode("a"), encode(f"a{SEPARATOR}a")
    return np.array(joined[len(word) : len(joined) - len(word)], np.int32)


def shuffled(documents: Iterable[Item], random: Random, buffer: int | None) -> Iterator[Item]:
    """Yield the documents in random order, holding at most `buffer` of them (None: all)."""
    held: list[Item] = []
    for document in documents:
        held.append(document)
        if buffer is not None and len(held) > buffer:
            index = random.randrange(len(held))
            held[index], held[-1] = held[-1], held[index]
            yield held.pop()
    random.shuffle(held)
    yield from held


def _pieces(
    documents: Iterable[Document], encode: Encoder, limit: int, random: Random
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (document id, tokens): a piece of every document, then a second of the longer ones, and so on."""
    waiting: deque[tuple[str, list[np.ndarray]]] = deque()
    for document in documents:
        tokens = np.array(encode(document.text), np.int32)
        if len(tokens):
            pieces = np.split(tokens, range(limit, len(tokens), limit))
            random.shuffle(pieces)
            yield document.id, pieces.pop()
            waiting.append((document.id, pieces))
    while waiting:
        document_id, pieces = waiting.popleft()
        if pieces:
            yield document_id, pieces.pop()
            waiting.append((document_id, pieces))
