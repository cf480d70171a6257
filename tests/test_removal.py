"""Removal losses against really removing the block."""

import copy

import pytest
import torch
from torch import nn

from prunescope.importance.removal import measure_removal
from prunescope.models.adapter import adapter_for
from tiny import tiny_model, tiny_tokens


class NoAttention(nn.Module):
    def forward(self, hidden_states, **_):
        return hidden_states * 0, None


class NoMlp(nn.Module):
    def forward(self, hidden_states):
        return hidden_states * 0


def mean_loss(model, windows):
    logits = model(windows, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), windows[:, 1:].reshape(-1)).item()


def without(model, layer, kind):
    """A copy of the model in which the block's modules are replaced or the layer is deleted."""
    cut = copy.deepcopy(model)
    if kind == "attention":
        cut.model.layers[layer].self_attn = NoAttention()
    elif kind == "mlp":
        cut.model.layers[layer].mlp = NoMlp()
    else:
        del cut.model.layers[layer]
        cut.config.num_hidden_layers -= 1
    return cut


@pytest.mark.parametrize(
    "shape",
    [
        {"kv_heads": 2, "ratio": 3},
        {"attention_bias": True, "mlp_bias": True},
        {"family": "mistral", "sliding_window": 5},
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_equals_really_removing_the_block(shape, batch_size):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    result = measure_removal(adapter_for(model), windows, batch_size)
    dense = mean_loss(model, windows)
    assert result.dense == pytest.approx(dense, rel=1e-9)
    for kind in ("attention", "mlp", "layer"):
        for layer in range(4):
            expected = mean_loss(without(model, layer, kind), windows) - dense
            assert getattr(result, kind)[layer].item() == pytest.approx(expected, abs=1e-9), (kind, layer)


def test_leaves_the_model_whole():
    model, windows = tiny_model(), tiny_tokens()
    before = model(windows).logits
    measure_removal(adapter_for(model), windows, 2)
    assert torch.equal(model(windows).logits, before)
    assert all("forward" not in vars(module) for module in model.modules())
