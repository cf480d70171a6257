"""Lines of progress: rate, time left, memory; and none of work that is over in no time."""

import re

from prunescope.progress import Progress


def test_a_line_says_how_far_and_with_how_much_memory(caplog):
    caplog.set_level("INFO")
    progress = Progress("gradients", total=4, unit="tokens", interval=0)
    progress.advance(1, "loss 3.2")
    assert re.fullmatch(
        r"gradients: 1 / 4 tokens, [\d.,]+ tokens/s, [\d,]+ s left, [\d.]+ GiB, loss 3\.2", caplog.messages[-1]
    )
    progress.advance(3)
    assert re.search(r"done in [\d.]+ s, [\d.]+ GiB$", caplog.messages[-1])


def test_quick_work_says_nothing(caplog):
    caplog.set_level("INFO")
    quick = Progress("loading", total=2, unit="tensors", quick=True)
    quick.advance(1)
    quick.advance(1)
    assert not caplog.messages
    slow = Progress("loading", total=2, unit="tensors", interval=0, quick=True)
    slow.advance(1)
    slow.advance(1)
    assert len(caplog.messages) == 2
