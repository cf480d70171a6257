"""Which purpose a document serves."""

import pytest

from prunescope.data.documents import split_of

PINNED = {"Anarchism": "calibration", "Ampere": "validation", "Algorithm": "test"}


def test_splits_are_stable_and_near_their_shares():
    # A change here moves documents between calibration and test: every stored result would be void.
    assert {name: split_of(name) for name in PINNED} == PINNED
    counts = {"calibration": 0, "validation": 0, "test": 0}
    for number in range(10_000):
        counts[split_of(f"document {number}")] += 1
    for purpose, share in {"calibration": 0.7, "validation": 0.1, "test": 0.2}.items():
        assert counts[purpose] / 10_000 == pytest.approx(share, abs=0.015)
