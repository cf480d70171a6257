"""Packing: full windows, no padding, a seeded choice, and no single document that dominates."""

import itertools
import re
from random import Random

import numpy as np
import pytest

from prunescope.data.documents import Document
from prunescope.data.packing import PIECE_WINDOWS, pack, separator_tokens, shuffled
from prunescope.errors import DataError

BREAK = 0


def encode(text: str) -> list[int]:
    """A word that is a number is its own token; a line break is 0."""
    return [BREAK if word == "\n" else int(word, 36) for word in re.findall(r"\n|\w+", text)]


def numbered(count: int, words: int) -> list[Document]:
    """Documents of words that occur nowhere else."""
    numbers = ([f"1{document:03}{word:02}" for word in range(words)] for document in range(count))
    return [Document(f"d{index}", " ".join(text)) for index, text in enumerate(numbers)]


def test_windows_are_full_and_hold_only_text_and_blank_lines():
    packed = pack(numbered(20, 7), encode, samples=4, seq_len=8, seed=0)
    assert packed.tokens.shape == (4, 8)
    assert packed.tokens.dtype == np.int32
    known = {token for document in numbered(20, 7) for token in encode(document.text)} | {BREAK}
    assert set(packed.tokens.ravel().tolist()) <= known


def test_documents_are_joined_as_text_is():
    documents = numbered(12, 7)
    packed = pack(documents, encode, samples=4, seq_len=8, seed=0)
    texts = {document.id: document.text for document in documents}
    joined = encode("\n\n".join(texts[name] for name in packed.document_ids))
    assert packed.tokens.ravel().tolist() == joined[:32]


def test_the_separator_is_the_one_of_running_text():
    # Like GPT-2's: a blank line alone is one token (99), but two inside text.
    tokens = {"a": [1], "a\n\na": [1, 198, 198, 1], "\n\n": [99]}
    assert separator_tokens(tokens.__getitem__).tolist() == [198, 198]


def test_the_seed_alone_decides():
    runs = [pack(numbered(30, 9), encode, 3, 8, seed).tokens for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_one_long_document_does_not_fill_the_samples():
    documents = [Document("long", " ".join(["z"] * 5000)), *numbered(40, 8)]
    packed = pack(documents, encode, samples=20, seq_len=8, seed=3)
    assert (packed.tokens == int("z", 36)).sum() <= PIECE_WINDOWS * 8
    assert len(packed.document_ids) > 10


def test_the_piece_of_a_long_document_is_not_always_its_beginning():
    document = Document("long", " ".join(map(str, range(1, 97))))
    first = {int(pack([document], encode, 1, 8, seed).tokens[0, 0]) for seed in range(20)}
    assert len(first) > 3


def test_all_of_the_text_is_available():
    long = [str(number) for number in range(1, 101)]
    packed = pack([Document("long", " ".join(long))], encode, samples=10, seq_len=10, seed=0)
    tokens = [token for token in packed.tokens.ravel().tolist() if token != BREAK]
    assert len(set(tokens)) == len(tokens)


def test_too_little_text_says_how_much_there_is():
    documents = numbered(4, 8)
    with pytest.raises(DataError, match=r"fills 4 windows of 8 tokens, 5 were asked for.* at most 4"):
        pack(documents, encode, samples=5, seq_len=8, seed=0)
    pack(documents, encode, samples=4, seq_len=8, seed=0)
    with pytest.raises(DataError, match=r"shorten calibration\.seq_len"):
        pack(documents, encode, samples=1, seq_len=64, seed=0)


def test_blank_documents_leave_no_trace():
    packed = pack([Document("blank", ""), *numbered(3, 8)], encode, samples=3, seq_len=8, seed=0)
    assert "blank" not in packed.document_ids


def test_a_stream_is_read_only_as_far_as_needed():
    read = []
    stream = (read.append(n) or Document(str(n), "1 2 3 4") for n in itertools.count())
    pack(stream, encode, samples=2, seq_len=8, seed=0, buffer=50)
    assert 50 < len(read) < 60


def test_shuffling_loses_nothing():
    documents = numbered(100, 1)
    for buffer in (None, 7):
        order = [document.id for document in shuffled(documents, Random(0), buffer)]
        assert sorted(order) == sorted(document.id for document in documents)
        assert order != [document.id for document in documents]
