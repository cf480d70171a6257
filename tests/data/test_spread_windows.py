"""Evaluation spans cover the whole split evenly."""

import numpy as np
import pytest

from prunescope.config.protocols import Protocol
from prunescope.data.evaluation_text import cut_spans
from prunescope.errors import DataError


def cut(total, protocol, max_tokens):
    return cut_spans(np.arange(total), Protocol.parse(protocol), max_tokens)


@pytest.mark.parametrize(
    ("total", "protocol", "max_tokens", "shape"),
    [
        (1000, "w10", 200, (20, 10)),
        (1000, "w8", 1000, (125, 8)),
        (999, "w128", 500, (3, 128)),
        (64, "w8", 64, (8, 8)),
        (65, "w8", 999, (8, 8)),
        (1000, "w12s4", 200, (4, 48)),  # four windows each
        (1000, "w12s5", 100, (2, 47)),  # 12 + 7 strides
    ],
)
def test_spans_are_ordered_disjoint_and_reach_both_ends(total, protocol, max_tokens, shape):
    spans = cut(total, protocol, max_tokens)
    assert spans.dtype == np.int32
    assert spans.shape == shape
    assert (np.diff(spans, axis=1) == 1).all()
    gaps = spans[1:, 0] - spans[:-1, -1] - 1
    assert (gaps >= 0).all()
    assert gaps.max() - gaps.min() <= 1
    assert spans[0, 0] == 0
    assert spans[-1, -1] == total - 1


def test_one_window_starts_at_the_beginning():
    assert cut(100, "w40", 79).tolist() == [list(range(40))]


@pytest.mark.parametrize(("total", "length"), [(1000, 997), (12, 12), (16, 12), (19, 17)])
def test_a_budget_for_the_whole_split_is_one_strided_span(total, length):
    assert cut(total, "w12s5", 1000).tolist() == [list(range(length))]


@pytest.mark.parametrize("protocol", ["w10", "w10s3"])
@pytest.mark.parametrize(("total", "max_tokens"), [(9, 100), (100, 9)])
def test_a_window_that_does_not_fit(total, max_tokens, protocol):
    with pytest.raises(DataError, match="a window of 10 tokens does not fit"):
        cut(total, protocol, max_tokens)
