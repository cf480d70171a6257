"""Evaluation windows cover the whole split evenly."""

import numpy as np
import pytest

from prunescope.data.windows import spread_windows
from prunescope.errors import DataError


@pytest.mark.parametrize(
    ("total", "length", "max_tokens"),
    [(1000, 10, 200), (1000, 7, 1000), (999, 128, 500), (64, 8, 64), (65, 8, 999)],
)
def test_windows_are_ordered_disjoint_and_reach_both_ends(total, length, max_tokens):
    windows = spread_windows(np.arange(total), length, max_tokens)
    assert windows.dtype == np.int32
    assert windows.shape == (min(total, max_tokens) // length, length)
    assert (np.diff(windows, axis=1) == 1).all()
    gaps = windows[1:, 0] - windows[:-1, -1] - 1
    assert (gaps >= 0).all()
    assert gaps.max() - gaps.min() <= 1
    assert windows[0, 0] == 0
    assert windows[-1, -1] == total - 1


def test_one_window_starts_at_the_beginning():
    assert spread_windows(np.arange(100), 40, 79).tolist() == [list(range(40))]


@pytest.mark.parametrize(("total", "max_tokens"), [(9, 100), (100, 9)])
def test_a_window_that_does_not_fit(total, max_tokens):
    with pytest.raises(DataError, match="a window of 10 tokens does not fit"):
        spread_windows(np.arange(total), 10, max_tokens)
