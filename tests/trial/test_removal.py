"""Priors: removal losses against really removing the block, their estimate against the derivative by a
gate, similarity against a naive cosine."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn

from prunescope.errors import NonFiniteError
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import Checkpoint
from prunescope.models.loading import load_offloaded
from prunescope.models.memory import in_smaller_batches
from prunescope.trial.first_order import measure_first_order
from prunescope.trial.interventions import HELD
from prunescope.trial.removal import measure_removal
from prunescope.trial.similarity import measure_similarity
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
    {"family": "qwen2"},
    {"family": "qwen3"},
]


def mean_losses_without(model, windows):
    return {
        part: [mean_loss(without(model, layer, part), windows) for layer in range(len(model.model.layers))]
        for part in ("attention", "mlp", "layer")
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("held", [3, 8, 40, None])
def test_equals_really_removing_the_block(shape, batch_size, held):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    result = measure_removal(adapter_for(model), windows, batch_size, held)
    dense = mean_loss(model, windows)
    assert result.dense == pytest.approx(dense, rel=1e-9)
    for part, expected in mean_losses_without(model, windows).items():
        assert (getattr(result, part) + dense).tolist() == pytest.approx(expected, abs=1e-9), part


def test_eager_attention_takes_the_same_arguments():
    model, windows = tiny_model(family="mistral", sliding_window=5), tiny_tokens(samples=5)
    expected = measure_removal(adapter_for(model), windows, 2)
    model.set_attn_implementation("eager")
    found = measure_removal(adapter_for(model), windows, 2)
    assert found.layer.tolist() == pytest.approx(expected.layer.tolist(), abs=1e-6)  # its softmax is float32


class Bare(nn.Module):
    """A layer without its MLP, as pruned architectures have them."""

    def __init__(self, layer):
        super().__init__()
        self.self_attn, self.input_layernorm = layer.self_attn, layer.input_layernorm
        self.mlp = self.post_attention_layernorm = None

    def forward(self, hidden_states, **kwargs):
        return hidden_states + self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)[0]


def test_a_block_that_is_not_there_is_worth_nothing():
    model, windows = tiny_model(), tiny_tokens()
    cut = copy.deepcopy(model)
    cut.model.layers[1].mlp.down_proj.weight.zero_()
    model.model.layers[1] = Bare(model.model.layers[1])
    found = measure_removal(adapter_for(model), windows, 2)
    assert found.mlp[1] == measure_first_order(adapter_for(model), windows, 2).mlp[1] == 0
    assert found.similarity.mlp[1].item() == pytest.approx(0, abs=1e-12)
    expected = measure_removal(adapter_for(cut), windows, 2)
    for part, values in expected.by_part().items():
        assert found.by_part()[part] == pytest.approx(values, abs=1e-9), part


@pytest.mark.parametrize("held", [3, None])
@pytest.mark.parametrize(("batch_size", "samples"), [(1, 2), (4, 5)])
def test_half_of_the_layers_run(held, batch_size, samples):
    """3L removals and the dense pass: L + 3L (L - 1) / 2 attentions and 2L + 3L (L - 1) / 2 MLPs per window."""
    model, windows = tiny_model(num_hidden_layers=8), tiny_tokens(samples=samples)
    runs = {"o_proj": [], "down_proj": []}
    for name, module in model.named_modules():
        place = runs.get(name.rsplit(".")[-1])
        if place is not None:
            module.register_forward_pre_hook(lambda _, args, place=place: place.append(len(args[0])))
    measure_removal(adapter_for(model), windows, batch_size, held)
    again = sum(runs["o_proj"]) - samples * (8 + 3 * 28), sum(runs["down_proj"]) - samples * (16 + 3 * 28)
    if (held or HELD * batch_size) >= 3 * 8:
        assert again == (0, 0), "all removals are held at a time"
    assert all(0 <= more < samples * 8 for more in again), "later climbs repeat a part of the dense pass"
    assert max(runs["o_proj"]) <= batch_size and max(runs["down_proj"]) <= 2 * batch_size
    assert sum(runs["down_proj"]) - again[1] < 0.51 * samples * 8 * 25


def test_similarity_comes_with_it():
    model, windows = tiny_model(), tiny_tokens(samples=5)
    found = measure_removal(adapter_for(model), windows, 2).similarity
    expected = measure_similarity(adapter_for(model), windows, 5)
    assert found.dense == pytest.approx(expected.dense, rel=1e-12)
    for part, values in expected.by_part().items():
        assert found.by_part()[part] == pytest.approx(values, rel=1e-9)


def test_leaves_the_model_whole():
    model, windows = tiny_model(), tiny_tokens()
    before = model(windows).logits
    measure_removal(adapter_for(model), windows, 2)
    measure_first_order(adapter_for(model), windows, 2)
    assert torch.equal(model(windows).logits, before)
    assert all("forward" not in vars(module) and not module._forward_hooks for module in model.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


def test_names_the_layer_that_is_not_finite():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"residual stream at the mlp of layer 2 is not finite; try"):
        measure_removal(adapter_for(model), tiny_tokens(), 2)
    with pytest.raises(NonFiniteError, match=r"by the attention of layer 0 is not finite; try"):
        measure_first_order(adapter_for(model), tiny_tokens(), 2)


class Gated(nn.Module):
    """A block whose output is multiplied, token by token."""

    def __init__(self, block, gate):
        super().__init__()
        self.block, self.gate = block, gate

    def forward(self, *args, **kwargs):
        output = self.block(*args, **kwargs)
        return (output[0] * self.gate, output[1]) if isinstance(output, tuple) else output * self.gate


def gate_derivatives(model, windows, layer, blocks):
    """The derivative of the summed loss by a gate per token on the outputs of a layer's blocks, [batch, tokens]."""
    gate = torch.ones(*windows.shape, 1, dtype=torch.float64, requires_grad=True)
    gated = copy.deepcopy(model)
    for name in blocks:
        setattr(gated.model.layers[layer], name, Gated(getattr(gated.model.layers[layer], name), gate))
    logits = gated(windows, use_cache=False).logits[:, :-1].flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, windows[:, 1:].flatten(), reduction="sum")
    return torch.autograd.grad(loss, gate)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_first_order_is_the_derivative_by_a_gate_per_token(shape, batch_size):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    result = measure_first_order(adapter_for(model), windows, batch_size)
    assert result.dense == pytest.approx(mean_loss(model, windows), rel=1e-9)
    places = {"attention": ("self_attn",), "mlp": ("mlp",), "layer": ("self_attn", "mlp")}
    for part, blocks in places.items():
        for layer in range(4):
            expected = gate_derivatives(model, windows, layer, blocks).abs().sum().item() / (5 * 11)
            assert getattr(result, part)[layer].item() == pytest.approx(expected, rel=1e-6), (part, layer)


def test_first_order_of_a_weak_block_at_one_token_is_its_removal_loss():
    """With a single token to predict from, nothing cancels, and removal leaves the linear term alone."""
    model, windows = tiny_model(), tiny_tokens(samples=1, length=2)
    model.model.layers[3].mlp.down_proj.weight *= 1e-3
    estimate, exact = (
        measure(adapter_for(model), windows, 1).mlp for measure in (measure_first_order, measure_removal)
    )
    assert estimate[3].item() == pytest.approx(abs(exact[3].item()), rel=1e-2)


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize(
    ("measure", "reads"),
    [(measure_removal, [1, 1, 1, 1]), (measure_similarity, [1, 1, 1, 1]), (measure_first_order, [2, 2, 2, 1])],
)
def test_an_offloaded_model_is_measured_the_same(family, measure, reads, tmp_path, monkeypatch):
    """Each layer is read once per direction, whatever the batches; the topmost is still there on the way down."""
    model, windows, read, counted = tiny_model(family=family), tiny_tokens(samples=5), Checkpoint.read, Counter()
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(Checkpoint, "read", lambda self, name: counted.update([name]) or read(self, name))
    offloaded = load_offloaded(tmp_path, torch.float64, torch.device("cpu"))
    counted.clear()
    expected, found = (measure(adapter_for(one), windows, 2) for one in (model, offloaded))
    assert found.dense == pytest.approx(expected.dense, rel=1e-12)
    for part, values in expected.by_part().items():
        assert found.by_part()[part] == pytest.approx(values, rel=1e-9, abs=1e-12), part
    for layer, times in enumerate(reads):
        assert {counted[name] for name in counted if f"layers.{layer}." in name} == {times}, layer


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
    assert result.by_part()[kind][0] == getattr(result, kind)[0].item()


def test_similarity_names_the_layer_that_is_not_finite():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"at the attention of layer 3|at the mlp of layer 2"):
        measure_similarity(adapter_for(model), tiny_tokens(), 2)


def test_calls_are_halved_while_memory_runs_out(caplog):
    tried = []

    def work(batch_size):
        tried.append(batch_size)
        if batch_size > 3:
            raise torch.OutOfMemoryError("no memory left")
        return "done"

    assert in_smaller_batches(work, 16) == "done"
    assert tried == [16, 8, 4, 2]
    assert "out of memory with 4 windows at a time: trying 2" in caplog.text


def test_what_does_not_fit_at_all_is_an_error():
    def work(batch_size):
        raise torch.OutOfMemoryError("no memory left")

    with pytest.raises(torch.OutOfMemoryError):
        in_smaller_batches(work, 4)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def work(batch_size):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_smaller_batches(work, 4)
