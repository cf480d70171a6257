"""Saliency by gradients, and their statistics, against a naive float64 loop over single weights."""

import numpy as np
import pytest
import torch

from checkpoints.cases import MIXED
from prunescope.artifacts.folders import GradientsFolder
from prunescope.artifacts.passes import StatisticsFile
from prunescope.errors import NonFiniteError
from prunescope.importance.engine import collect_gradients
from prunescope.importance.modes import Mode
from prunescope.importance.statistics import PIECE, STATISTICS, AbsoluteSums, statistics_of
from prunescope.models.adapter import adapter_for
from tiny import tiny_model, tiny_tokens

CRITERIA = ("taylor", "taylor_2nd", "taylor_stream", "magnitude")
SHAPES = [
    {"kv_heads": 3, "ratio": 1},
    {"kv_heads": 2, "ratio": 3, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    {"family": "mistral", "kv_heads": 2, "ratio": 2},
    {"family": "qwen2", "kv_heads": 2, "ratio": 3, "tie_word_embeddings": True},
    {"family": "qwen3"} | MIXED | {"layer_types": ["sliding_attention", "full_attention"]},
]


def naive_gradients(model, windows, batch_size):
    """Return per batch (share of the tokens, {name: float64 gradient of the batch's mean loss})."""
    model.requires_grad_(True)
    parts = windows.split(batch_size)
    total = sum(part.numel() - len(part) for part in parts)
    result = []
    for part in parts:
        model.zero_grad()
        logits = model(part).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), part[:, 1:].reshape(-1))
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        result.append(((part.numel() - len(part)) / total, gradients))
    model.requires_grad_(False)
    return result


def naive_saliency(criterion, weight, batches):
    """The formulas of the criteria, one weight at a time."""
    mean = sum(share * g for share, g in batches)
    if criterion == "magnitude":
        return abs(weight)
    if criterion == "taylor":
        return abs(weight * mean)
    if criterion == "taylor_2nd":
        return abs(weight * mean) + 0.5 * weight**2 * sum(share * g**2 for share, g in batches)
    if criterion == "taylor_stream":
        return sum(share * abs(weight * g) for share, g in batches)
    raise AssertionError(criterion)


def naive_group_weights(model, layer, kind, group):
    """Yield (parameter, flat indices) of a group, spelled out by head and channel."""
    config, prefix = model.config, f"model.layers.{layer}."
    names = dict(model.named_parameters())

    def rows(name, indices):
        for part in ("weight", "bias"):
            full = f"{prefix}{name}.{part}"
            if full in names:
                yield full, list(indices)

    def columns(name, indices):
        yield f"{prefix}{name}.weight", [(slice(None), index) for index in indices]

    if kind == "mlp":
        yield from rows("mlp.gate_proj", [group])
        yield from rows("mlp.up_proj", [group])
        yield from columns("mlp.down_proj", [group])
        return
    per_group = config.num_attention_heads // config.num_key_value_heads
    dim = config.head_dim
    query = [h * dim + i for h in range(group * per_group, (group + 1) * per_group) for i in range(dim)]
    yield from rows("self_attn.q_proj", query)
    yield from rows("self_attn.k_proj", [group * dim + i for i in range(dim)])
    yield from rows("self_attn.v_proj", [group * dim + i for i in range(dim)])
    yield from columns("self_attn.o_proj", query)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [2, 5])
def test_saliency_equals_the_naive_sum(shape, batch_size):
    model, windows = tiny_model(**shape, num_hidden_layers=2), tiny_tokens(samples=5)
    adapter = adapter_for(model)
    batches = naive_gradients(model, windows, batch_size)
    result = collect_gradients(adapter, windows, CRITERIA, batch_size)
    parameters = dict(model.named_parameters())
    for criterion in CRITERIA:
        for block in adapter.blocks:
            expected = [
                sum(
                    float(
                        naive_saliency(
                            criterion, parameters[name][index], [(s, g[name][index]) for s, g in batches]
                        ).sum()
                    )
                    for name, indices in naive_group_weights(model, block.facts.layer, block.facts.block, group)
                    for index in indices
                )
                for group in range(block.facts.groups)
            ]
            found = result.saliency[criterion][block.name].numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=f"{criterion} {block.name}")


@pytest.mark.parametrize("mode", ["accumulate", "layered", "stream", "gate"])
def test_the_first_half_of_the_batches_scores_as_if_there_were_no_others(mode):
    windows, names = tiny_tokens(samples=7), ("taylor", "taylor_2nd", "taylor_stream", "gate", "wanda")

    def collect(windows):
        return collect_gradients(adapter_for(tiny_model("qwen3")), windows, names, 2, Mode(mode))

    whole, alone, single = collect(windows), collect(windows[:4]), collect(windows[:2])
    assert whole.stability.first_samples == 4
    assert whole.first_half.keys() == alone.saliency.keys() - {"wanda"} != set()
    for name, blocks in whole.first_half.items():
        for block, scores in blocks.items():
            assert torch.allclose(scores, alone.saliency[name][block], rtol=1e-5), (name, block)
    assert single.first_half == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_cost_counts_every_weight_of_a_group(shape):
    model = tiny_model(**shape, num_hidden_layers=2)
    parameters = dict(model.named_parameters())
    for block in adapter_for(model).blocks:
        weights = sum(
            parameters[name][index].numel()
            for name, indices in naive_group_weights(model, block.facts.layer, block.facts.block, 0)
            for index in indices
        )
        assert weights == block.facts.cost


def test_what_groups_share_goes_with_the_whole_block():
    attention, mlp = adapter_for(tiny_model("qwen3", attention_bias=True)).blocks[:2]
    prefix = "model.layers.0."
    shared = ("input_layernorm.weight", "self_attn.q_norm.weight", "self_attn.k_norm.weight", "self_attn.o_proj.bias")
    assert set(attention.whole) == {prefix + name for name in shared}
    assert attention.facts.overhead == 24 + 10 + 10 + 24
    assert mlp.whole == (prefix + "post_attention_layernorm.weight",)
    (qwen2, _) = adapter_for(tiny_model("qwen2", kv_heads=2, ratio=3)).blocks[:2]
    assert qwen2.facts.cost == 24 * 10 * (2 * 3 + 2) + 10 * (3 + 2)  # d h (2r + 2), and the biases of q, k, v


def test_statistics_are_of_the_absolute_gradient_per_batch():
    model, windows = tiny_model(num_hidden_layers=2), tiny_tokens(samples=4)
    batches = naive_gradients(model, windows, 2)
    statistics = collect_gradients(adapter_for(model), windows, ["taylor"], 2).statistics.by_parameter_and_layer()
    for name, values in statistics["parameters"].items():
        for number, (_, gradients) in enumerate(batches):
            g = gradients[name].abs()
            found = [values[key][number] for key in ("mean", "std", "norm", "max", "min")]
            expected = [g.mean(), g.std(correction=0), g.norm(), g.max(), g.min()]
            np.testing.assert_allclose(found, [float(e) for e in expected], rtol=1e-4, atol=1e-9)


def test_statistics_stay_exact_for_large_matrices_and_in_a_buffer_used_before():
    """One long float32 sum of so many squares is off by a thousandth."""
    absolute, random = AbsoluteSums(), torch.Generator().manual_seed(0)
    for shape in ((3000, 2000), (7, 5), (40, 3, 9), (PIECE + 1,)):
        gradient = 1e-4 * torch.randn(shape, generator=random)
        g = gradient.double().abs()
        expected = [g.mean(), g.std(correction=0), g.norm(), g.max(), g.min()]
        found = statistics_of(absolute.of(gradient).numpy(), np.array(gradient.numel()))
        np.testing.assert_allclose(found, [float(e) for e in expected], rtol=1e-5)  # some CPUs add in another order
        assert gradient.min() < 0


def test_layer_statistics_pool_all_weights_of_the_layer():
    model, windows = tiny_model(num_hidden_layers=2), tiny_tokens(samples=4)
    batches = naive_gradients(model, windows, 2)
    statistics = collect_gradients(adapter_for(model), windows, ["taylor"], 2).statistics.by_parameter_and_layer()
    for layer, values in statistics["layers"].items():
        pooled = [
            torch.cat([g.abs().flatten() for n, g in gs.items() if f"layers.{layer}." in n and "proj" in n])
            for _, gs in batches
        ]
        expected = {
            "mean": np.mean([float(p.mean()) for p in pooled]),
            "std": np.mean([float(p.std(correction=0)) for p in pooled]),
            "norm": np.mean([float(p.norm()) for p in pooled]),
            "max": np.mean([float(p.max()) for p in pooled]),
            "min": np.mean([float(p.min()) for p in pooled]),
        }
        for key, value in expected.items():
            assert values[key] == pytest.approx(value, rel=1e-4, abs=1e-9), key


def test_statistics_that_are_not_finite_are_null_in_the_file(tmp_path):
    """A norm overflows in float32 where the largest gradient does not."""
    model, windows = tiny_model(num_hidden_layers=2), tiny_tokens()
    statistics = collect_gradients(adapter_for(model), windows, ["taylor"], 3).statistics
    statistics.values[0, 0, STATISTICS.index("norm")] = np.inf
    file = GradientsFolder(tmp_path).statistics
    file.write(StatisticsFile(**statistics.by_parameter_and_layer()))
    read = file.read()
    assert read.parameters[statistics.names[0]].norm == [None]
    assert read.layers[0].norm is None and read.layers[0].mean > 0 and read.layers[1].norm > 0


def test_model_is_left_as_it_was():
    model, windows = tiny_model(), tiny_tokens()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    collect_gradients(adapter_for(model), windows, ["taylor"], 2)
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_loss_that_is_not_finite_names_the_layer():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"after layer 2; try gradients\.dtype: float32"):
        collect_gradients(adapter_for(model), tiny_tokens(), ["taylor"], 2)


def test_gradient_that_is_not_finite_names_the_parameter():
    model = tiny_model()
    projection = model.model.layers[1].self_attn.v_proj
    # A finite loss with an infinite gradient: the overflow happens on the way back.
    projection.register_forward_hook(lambda module, args, output: _Overflow.apply(output))
    with pytest.raises(
        NonFiniteError, match=r"gradient of model\.layers\.1\.self_attn.* \(layer 1\) is not finite in batch 0"
    ):
        collect_gradients(adapter_for(model), tiny_tokens(), ["taylor"], 2)


class _Overflow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")
