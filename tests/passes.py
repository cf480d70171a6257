"""Gradient passes under test, and whether two of them found the same."""

import torch

from prunescope.criteria import CRITERIA
from prunescope.importance.engine import collect_gradients
from prunescope.models.adapter import adapter_for
from tiny import tiny_tokens

NAMES = tuple(CRITERIA)


def collect(model, batch_size=2, criteria=NAMES, **options):
    return collect_gradients(adapter_for(model), tiny_tokens(samples=7), criteria, batch_size, **options)


def assert_equal(found, expected, criteria=None):
    """Bit for bit, evidence and verdict."""
    assert found.loss == expected.loss
    for criterion in criteria or expected.saliency:
        for block, scores in expected.saliency[criterion].items():
            assert torch.equal(found.saliency[criterion][block], scores), (criterion, block)
    if criteria is None:
        assert found.statistics.by_parameter_and_layer() == expected.statistics.by_parameter_and_layer()
        assert found.stability == expected.stability
        assert found.first_half.keys() == expected.first_half.keys()
        for criterion, blocks in expected.first_half.items():
            for block, scores in blocks.items():
                assert torch.equal(found.first_half[criterion][block], scores), (criterion, block)
