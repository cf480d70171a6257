"""Priors: removal losses against really removing the block, similarity against a naive cosine."""

import copy

import pytest
import torch
from torch import nn

from prunescope.errors import NonFiniteError
from prunescope.importance.removal import measure_removal
from prunescope.importance.similarity import measure_similarity
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


SHAPES = [
    {"kv_heads": 2, "ratio": 3},
    {"attention_bias": True, "mlp_bias": True},
    {"family": "mistral", "sliding_window": 5},
]


@pytest.mark.parametrize("shape", SHAPES)
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


def naive_distances(model, windows):
    """1 - cos around each block, layer by layer, the residual additions written out."""
    hidden = model.model.embed_tokens(windows)
    places = model.model.rotary_emb(hidden, torch.arange(windows.shape[1])[None])
    masks = attention_mask(windows.shape[1], getattr(model.config, "sliding_window", None))
    found = {"attention": [], "mlp": [], "layer": []}
    for layer in model.model.layers:
        attended, _ = layer.self_attn(
            hidden_states=layer.input_layernorm(hidden), position_embeddings=places, attention_mask=masks
        )
        between = hidden + attended
        after = between + layer.mlp(layer.post_attention_layernorm(between))
        for kind, (a, b) in {"attention": (hidden, between), "mlp": (between, after), "layer": (hidden, after)}.items():
            pairs = [(x, y) for rows in zip(a, b, strict=True) for x, y in zip(*rows, strict=True)]
            cosines = [float(x @ y / (x.square().sum() * y.square().sum()).sqrt()) for x, y in pairs]
            found[kind].append(1 - sum(cosines) / len(cosines))
        hidden = after
    return found


def attention_mask(length, window):
    """True where a token may look: not ahead, and back at most `window` tokens, itself included."""
    back = torch.arange(length)[:, None] - torch.arange(length)[None]
    return ((back >= 0) & (back < (window or length)))[None, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_similarity_equals_the_naive_cosine(shape, batch_size):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    result = measure_similarity(adapter_for(model), windows, batch_size)
    assert result.dense == pytest.approx(mean_loss(model, windows), rel=1e-9)
    for kind, expected in naive_distances(model, windows).items():
        assert getattr(result, kind).tolist() == pytest.approx(expected, rel=1e-9), kind


@pytest.mark.parametrize("kind", ["attention", "mlp"])
def test_similarity_of_a_silenced_block_is_zero(kind):
    adapter = adapter_for(tiny_model())
    with adapter.silenced(1, kind):
        result = measure_similarity(adapter, tiny_tokens(), 2)
    other = {"attention": "mlp", "mlp": "attention"}[kind]
    assert getattr(result, kind)[1].item() == pytest.approx(0, abs=1e-12)
    assert getattr(result, other)[1].item() == pytest.approx(result.layer[1].item(), rel=1e-9)
    assert result.as_json()[kind]["0"] == getattr(result, kind)[0].item()


def test_similarity_names_the_layer_that_is_not_finite():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"at the attention of layer 3|at the mlp of layer 2"):
        measure_similarity(adapter_for(model), tiny_tokens(), 2)
