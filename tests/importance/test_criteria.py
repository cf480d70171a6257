"""Criteria by activations against naive versions, and what one pass computes and does not."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from jobs import job
from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, RemovalFolder
from prunescope.criteria import CRITERIA, MODES, not_scored
from prunescope.diagnosis.inputs import compared_stability, read_statistics
from prunescope.errors import NonFiniteError
from prunescope.importance.criteria import FORMULAS, Terms
from prunescope.importance.engine import collect_gradients
from prunescope.importance.gradients import collect
from prunescope.importance.modes import Mode
from prunescope.models.adapter import adapter_for
from prunescope.ranks import rank_correlation
from prunescope.steps.importance import GradientsSpec, RemovalSpec
from prunescope.trial.first_order import measure_first_order
from prunescope.trial.prior import measure as measure_prior
from prunescope.trial.removal import measure_removal
from prunescope.trial.similarity import measure_similarity
from tiny import tiny_facts, tiny_model, tiny_tokens

SHAPES = [
    {"kv_heads": 3, "ratio": 1},
    {"kv_heads": 2, "ratio": 3, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    {"family": "mistral", "kv_heads": 2, "ratio": 2, "sliding_window": 5},
]
each_shape = pytest.mark.parametrize("shape", SHAPES)
each_batch_size = pytest.mark.parametrize("batch_size", [1, 2, 5])


def the_blocks(model):
    """(name, number of groups, output projection) of each block, spelled out."""
    for index, layer in enumerate(model.model.layers):
        yield f"{index}.attention", model.config.num_key_value_heads, layer.self_attn.o_proj
        yield f"{index}.mlp", model.config.intermediate_size, layer.mlp.down_proj


def score(model, windows, criterion, batch_size, **options):
    """Saliency by one criterion, as float64 arrays by block."""
    saliency = collect_gradients(adapter_for(model), windows, [criterion], batch_size, **options).saliency
    return {block: values.double().numpy() for block, values in saliency[criterion].items()}


def assert_same(found, expected, rtol=1e-6):
    assert found.keys() == expected.keys()
    for block, values in expected.items():
        np.testing.assert_allclose(found[block], values, rtol=rtol, err_msg=block)


# --- gate -------------------------------------------------------------------------------------------


def gated(module, gates):
    """Make the output projection add up its groups' contributions, each times its gate."""

    def forward(x):
        width = module.in_features // len(gates)
        slices = [slice(k * width, (k + 1) * width) for k in range(len(gates))]
        total = sum(gate * (x[..., s] @ module.weight[:, s].T) for gate, s in zip(gates, slices, strict=True))
        return total if module.bias is None else total + module.bias

    module.forward = forward


def naive_gate(model, windows):
    """mean_s (∂L_s/∂m)², every sample by itself and every gate really there."""
    gates = {}
    for name, groups, module in the_blocks(model):
        gates[name] = torch.ones(groups, dtype=torch.float64, requires_grad=True)
        gated(module, gates[name])
    totals = dict.fromkeys(gates, 0)
    for sample in windows:
        loss = torch.nn.functional.cross_entropy(model(sample[None]).logits[0, :-1], sample[1:])
        for name, derivative in zip(gates, torch.autograd.grad(loss, list(gates.values())), strict=True):
            totals[name] += derivative.square().numpy() / len(windows)
    for _, _, module in the_blocks(model):
        del module.forward
    return totals


@each_shape
@each_batch_size
@pytest.mark.parametrize("mode", [Mode("stream"), Mode("gate")])
def test_gate_equals_a_real_gate(shape, batch_size, mode):
    model, windows = tiny_model(**shape, num_hidden_layers=2), tiny_tokens(samples=5)
    expected = naive_gate(model, windows)
    assert_same(score(model, windows, "gate", batch_size, mode=mode), expected)


def test_gate_alone_takes_no_gradient_of_a_weight(monkeypatch):
    model = tiny_model()
    gradients = []
    backward = torch.Tensor.backward

    def watched(loss):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        backward(loss)
        gradients.extend(parameter.grad for parameter in model.parameters())

    monkeypatch.setattr(torch.Tensor, "backward", watched)
    result = collect_gradients(adapter_for(model), tiny_tokens(), ["gate"], 2, Mode("gate"))
    assert gradients and all(gradient is None for gradient in gradients)
    assert result.stability.criterion == "gate"


def test_gate_mode_keeps_statistics_of_activations():
    model, windows = tiny_model(num_hidden_layers=2), tiny_tokens(samples=5)
    name, rows, seen = "model.layers.0.mlp.down_proj", [], []
    handle = model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.requires_grad_(True)
    for part in windows.split(2):
        logits = model(part).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())
        (gradient,) = torch.autograd.grad(loss, seen.pop())
        g = gradient.abs()
        rows.append([float(v) for v in (g.mean(), g.std(correction=0), g.norm(), g.max(), g.min())])
    handle.remove()
    found = collect_gradients(adapter_for(model.requires_grad_(False)), windows, ["gate"], 2, Mode("gate")).statistics
    place = found.names.index(f"{name}.input")
    np.testing.assert_allclose(found.values[place], rows, rtol=1e-5, atol=1e-12)
    assert found.sizes[place].tolist() == [480, 480, 240]


# --- wanda ------------------------------------------------------------------------------------------


def naive_wanda(model, windows):
    """|w| ‖x‖₂ with the recorded inputs of every linear module, one module and group at a time."""
    config, inputs, handles = model.config, {}, []
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            record = lambda module, args: inputs.setdefault(module, []).append(args[0])  # noqa: E731
            handles.append(module.register_forward_pre_hook(record))
    for sample in windows:
        model(sample[None])
    for handle in handles:
        handle.remove()

    def rows(module, chosen):
        x = torch.cat(inputs[module], dim=1)[0]
        total = (module.weight[chosen].abs() * x.norm(dim=0)).sum()
        return total if module.bias is None else total + len(x) ** 0.5 * module.bias[chosen].abs().sum()

    def columns(module, chosen):
        x = torch.cat(inputs[module], dim=1)[0]
        return (module.weight[:, chosen].abs() * x[:, chosen].norm(dim=0)).sum()

    dim, query = config.head_dim, config.head_dim * config.num_attention_heads // config.num_key_value_heads
    result = {}
    for index, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        result[f"{index}.attention"] = [
            float(
                rows(attention.q_proj, slice(k * query, (k + 1) * query))
                + rows(attention.k_proj, slice(k * dim, (k + 1) * dim))
                + rows(attention.v_proj, slice(k * dim, (k + 1) * dim))
                + columns(attention.o_proj, slice(k * query, (k + 1) * query))
            )
            for k in range(config.num_key_value_heads)
        ]
        result[f"{index}.mlp"] = [
            float(rows(mlp.gate_proj, [i]) + rows(mlp.up_proj, [i]) + columns(mlp.down_proj, [i]))
            for i in range(config.intermediate_size)
        ]
    return result


@each_shape
@each_batch_size
def test_wanda_equals_the_naive_sum(shape, batch_size):
    model, windows = tiny_model(**shape, num_hidden_layers=2), tiny_tokens(samples=5)
    assert_same(score(model, windows, "wanda", batch_size, mode=Mode("gate")), naive_wanda(model, windows))


# --- shortgpt ---------------------------------------------------------------------------------------


def naive_influence(model, windows):
    """1 - mean cosine of the residual stream before and after each layer, one token at a time."""
    model.config.output_hidden_states = True
    cosines = {}
    for sample in windows:
        # The last hidden state is behind the final norm, so the last layer is run once more by a hook.
        last = []
        handle = model.model.layers[-1].register_forward_hook(lambda _, __, output, last=last: last.append(output))
        states = model.model(sample[None]).hidden_states
        handle.remove()
        for layer, (before, after) in enumerate(zip(states[:-1], [*states[1:-1], last[0]], strict=True)):
            for x, y in zip(before[0], after[0], strict=True):
                cosines.setdefault(layer, []).append(float(x @ y / (x.norm() * y.norm())))
    model.config.output_hidden_states = False
    return {layer: 1 - np.mean(values) for layer, values in cosines.items()}


@each_shape
@each_batch_size
def test_shortgpt_is_the_influence_of_the_layer_per_parameter(shape, batch_size):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    influence = naive_influence(model, windows)
    found = score(model, windows, "shortgpt", batch_size, mode=Mode("gate"))
    expected = {
        block.name: np.full(block.facts.groups, influence[block.facts.layer] * block.facts.cost)
        for block in adapter_for(model).blocks
    }
    assert_same(found, expected)


# --- one pass ---------------------------------------------------------------------------------------


def test_every_configurable_criterion_has_a_formula():
    assert list(FORMULAS) == list(CRITERIA)


@each_shape
def test_one_pass_scores_all_as_single_passes_do(shape):
    model, windows = tiny_model(**shape), tiny_tokens(samples=5)
    forwards = []
    handle = model.base_model.register_forward_hook(lambda *_: forwards.append(1))
    together = collect_gradients(adapter_for(model), windows, CRITERIA, 2)
    assert len(forwards) == 3
    handle.remove()
    for criterion in CRITERIA:
        alone = score(model, windows, criterion, 2)
        assert_same({block: values.numpy() for block, values in together.saliency[criterion].items()}, alone)


@pytest.mark.parametrize("criteria", [["gate"], ["wanda"], ["magnitude", "shortgpt"]])
def test_statistics_come_with_any_criteria(criteria):
    model, windows = tiny_model(), tiny_tokens(samples=4)
    found = collect_gradients(adapter_for(model), windows, criteria, 2)
    expected = collect_gradients(adapter_for(model), windows, ["taylor"], 2)
    assert found.statistics.by_parameter_and_layer() == expected.statistics.by_parameter_and_layer()
    assert found.stability.layers == expected.stability.layers
    assert found.loss == expected.loss
    assert found.statistics_seconds > 0
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("mode", [Mode("accumulate"), Mode("gate")])
def test_no_hook_stays(mode):
    model = tiny_model()
    collect_gradients(adapter_for(model), tiny_tokens(), CRITERIA, 2, mode)
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())


def test_hooks_go_when_the_pass_fails():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="after layer 2"):
        collect_gradients(adapter_for(model), tiny_tokens(), CRITERIA, 2)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_activation_gradient_that_is_not_finite_names_the_projection():
    model = tiny_model()

    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.view_as(values)

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("inf")

    model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: Overflow.apply(output))
    with pytest.raises(NonFiniteError, match=r"gradient of model\.layers\.1\.mlp\.down_proj\.input \(layer 1\)"):
        collect_gradients(adapter_for(model), tiny_tokens(), ["gate"], 2, Mode("gate"))


def test_saliency_that_is_not_finite_names_the_blocks(monkeypatch):
    monkeypatch.setitem(FORMULAS, "magnitude", Terms(of_weight=lambda weight: weight * float("inf")))
    with pytest.raises(NonFiniteError, match=r"magnitude saliency is not finite in blocks 0\.attention to 3\.mlp"):
        collect_gradients(adapter_for(tiny_model()), tiny_tokens(), ["magnitude"], 2)


# --- stability --------------------------------------------------------------------------------------


def test_rank_correlation_equals_scipy():
    generator = np.random.default_rng(0)
    for size, levels in ((3, 100), (50, 4), (200, 1000)):
        x, y = generator.integers(levels, size=(2, size)).astype(float)
        y += x / 2
        assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_rank_correlation_of_nothing():
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.arange(2.0), np.arange(2.0)) is None


def test_stability_compares_even_with_odd_batches():
    model, windows = tiny_model(kv_heads=2, ratio=3), tiny_tokens(samples=5)
    found = collect_gradients(adapter_for(model), windows, ["gate"], 1).stability
    even, odd = (score(model, windows[start::2], "taylor_stream", 1) for start in (0, 1))
    costs = {block.name: block.facts.cost for block in adapter_for(model).blocks}
    for layer in range(4):
        names = f"{layer}.attention", f"{layer}.mlp"
        halves = [np.concatenate([half[name] / costs[name] for name in names]) for half in (even, odd)]
        assert found.layers[layer] == pytest.approx(spearmanr(*halves).statistic, abs=1e-9)
    assert (found.criterion, found.samples) == ("taylor_stream", 5)


def test_stability_of_gate_is_measured_beside_that_of_gradients(tmp_path):
    model, windows = tiny_model(kv_heads=2, ratio=3), tiny_tokens(samples=4)
    found = collect_gradients(adapter_for(model), windows, ["taylor", "gate"], 1).stability
    even, odd = (score(model, windows[start::2], "gate", 1) for start in (0, 1))
    costs = {block.name: block.facts.cost for block in adapter_for(model).blocks}
    for layer, rho in found.others["gate"].items():
        names = f"{layer}.attention", f"{layer}.mlp"
        halves = [np.concatenate([half[name] / costs[name] for name in names]) for half in (even, odd)]
        assert rho == pytest.approx(spearmanr(*halves).statistic, abs=1e-9)
    file = GradientsFolder(tmp_path).stability
    file.write(found)
    read = {name: compared_stability(file.read(), name) for name in CRITERIA}
    assert read["taylor"] == read["taylor_stream"] and read["taylor"].criterion == "taylor_stream"
    assert read["gate"].layers == found.others["gate"]
    assert {name for name, stability in read.items() if stability is None} == {"wanda", "magnitude", "shortgpt"}


def test_stability_of_one_batch_is_unknown():
    found = collect_gradients(adapter_for(tiny_model()), tiny_tokens(), ["taylor"], 8).stability
    assert found.layers == dict.fromkeys(range(4))


# --- the steps --------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    """Facts of a tiny model on disk, and the folder of calibration windows, as inputs of a job."""
    model = tiny_model().float()
    model.save_pretrained(tmp_path / "model")
    CalibrationFolder(tmp_path / "calibration").samples.write({"input_ids": tiny_tokens(samples=5).int()})
    return {"model": tiny_facts(model, tmp_path / "model"), "calibration": tmp_path / "calibration"}


@pytest.mark.parametrize("criteria", [tuple(CRITERIA), ("wanda",)])
def test_gradient_step_always_writes_what_the_diagnosis_needs(checkpoint, tmp_path, criteria):
    collect(job(GradientsSpec(criteria=criteria, batch_size=2, dtype="float32"), tmp_path, **checkpoint))
    folder, blocks = GradientsFolder(tmp_path), checkpoint["model"].blocks
    names = {f"{criterion}/{block.layer}.{block.block}" for criterion in criteria for block in blocks}
    assert folder.saliency.read().keys() == names
    assert len(read_statistics(folder.statistics.path).layers.dropna()) == 4
    agreement = folder.stability.read()
    keys = {"criterion", "layers", "samples", "first_samples", "others"}
    assert json.loads(folder.stability.path.read_text()).keys() == keys
    assert all(-1 <= value <= 1 for value in agreement.layers.values())
    timing = folder.timing.read()
    assert 0 < timing.statistics_share < 1
    assert timing.statistics_seconds == pytest.approx(timing.statistics_share * timing.compute_seconds, abs=1e-3)


@pytest.mark.parametrize("prior", ["removal", "similarity"])
def test_removal_step_writes_either_prior(checkpoint, tmp_path, prior):
    measure_prior(job(RemovalSpec(prior=prior, samples=3, dtype="float32"), tmp_path, **checkpoint))
    measure = {"removal": measure_removal, "similarity": measure_similarity}[prior]
    expected = measure(adapter_for(tiny_model()), tiny_tokens(samples=5)[:3], 3).by_part()
    folder = RemovalFolder(tmp_path)
    found = folder.losses.read().by_part()
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        assert found[part] == pytest.approx(values, abs=1e-5)
    assert folder.similarity.exists() == (prior == "removal")


def test_removal_step_estimates(checkpoint, tmp_path):
    spec = RemovalSpec(prior="removal", estimate="first_order", samples=3, dtype="float32")
    measure_prior(job(spec, tmp_path, **checkpoint))
    expected = measure_first_order(adapter_for(tiny_model()), tiny_tokens(samples=5)[:3], 3).by_part()
    for part, values in RemovalFolder(tmp_path).losses.read().by_part().items():
        assert values == pytest.approx(expected[part], abs=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_scores_as_the_cpu_does():
    model, windows = tiny_model(), tiny_tokens(samples=4)
    expected = collect_gradients(adapter_for(model), windows, CRITERIA, 2)
    found = collect_gradients(adapter_for(model.cuda()), windows, CRITERIA, 2)
    assert found.statistics_seconds > 0
    for criterion, blocks in expected.saliency.items():
        for block, values in blocks.items():
            torch.testing.assert_close(found.saliency[criterion][block], values, rtol=1e-5, atol=0)


def gradient_of(terms):
    """The gradient that the terms of a criterion read."""
    if terms.of_mean:
        return "mean"
    return "batch" if terms.of_batch else "gate" if terms.of_gate else None


@pytest.mark.parametrize("name", CRITERIA)
def test_the_table_says_what_the_formulas_need(name):
    """The table is apart from the formulas, so that the configuration and the diagnosis need no torch."""
    terms, row = FORMULAS[name], CRITERIA[name]
    assert row.gradient == gradient_of(terms)
    assert row.text == (terms != Terms(of_weight=terms.of_weight))
    assert row.unit == ("layer" if terms.of_layer else "group")
    if row.stability:  # there are halves of sums over batches alone
        assert gradient_of(FORMULAS[row.stability]) in ("batch", "gate") and not FORMULAS[row.stability].of_mean
    assert (row.stability is None) == (row.gradient is None)


def test_modes_score_what_their_gradients_allow():
    assert not_scored("accumulate") == not_scored("auto") == ()
    assert not_scored("stream") == ("taylor", "taylor_2nd")
    assert not_scored("gate") == ("taylor", "taylor_2nd", "taylor_stream")
    assert all(Mode(mode).scored(CRITERIA) == [n for n in CRITERIA if n not in not_scored(mode)] for mode in MODES)
