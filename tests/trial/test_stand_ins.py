"""Refitted interventions: each loses what a model loses whose weights were fitted with numpy, on explicit inputs."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from prunescope.errors import DataError, NonFiniteError
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import load_offloaded
from prunescope.pruning.gram import grams, read_gram, write_grams
from prunescope.trial.interventions import Intervention, measure
from prunescope.trial.stand_ins import StandIns
from shapes import SHAPES
from tiny import mask_model, tiny_facts, tiny_model, tiny_tokens
from trial.test_interventions import plan_of, plans_for

CPU = torch.device("cpu")
RIDGE = 0.1
FITTED = torch.randint(3, 61, (9, 12), generator=torch.Generator().manual_seed(7))


def seen_by(model, windows):
    """By block: the inputs of its output projection, and the dense stream after it, ``[tokens, ...]`` each."""
    adapter, inputs, streams = adapter_for(model), {}, {}

    def keep(name, _, args):
        inputs[name] = args[0].flatten(0, 1).numpy()

    def watch(layer, _, between, after):
        streams[f"{layer}.attention"], streams[f"{layer}.mlp"] = (one.flatten(0, 1).numpy() for one in (between, after))

    hooks = [
        adapter.output_projection(one.facts.layer, one.facts.block).register_forward_pre_hook(partial(keep, one.name))
        for one in adapter.blocks
    ]
    with adapter.watching_layers(watch):
        model(windows)
    for hook in hooks:
        hook.remove()
    return {name: (inputs[name], streams[name]) for name in inputs}


def naive_model(shape, plan, ridge=RIDGE):
    """The model whose kept columns were fitted, block by block, by least squares on the inputs themselves."""
    model, seen = tiny_model(**shape), seen_by(tiny_model(**shape), FITTED)
    for block in plan.blocks:
        name, groups = f"{block.facts.layer}.{block.facts.block}", block.facts.groups
        inputs, stream = seen[name]
        gone = np.repeat(np.isin(np.arange(groups), block.removed), inputs.shape[1] // groups)
        if gone.any() and not gone.all():
            weighted = inputs / np.linalg.norm(stream, axis=1, keepdims=True)
            kept = weighted[:, ~gone]
            damping = np.sqrt(ridge * (kept**2).sum(axis=0).mean()) * np.eye(kept.shape[1])
            target = np.concatenate([weighted[:, gone], np.zeros((kept.shape[1], gone.sum()))])
            played = np.linalg.lstsq(np.concatenate([kept, damping]), target, rcond=None)[0]
            weight = adapter_for(model).output_projection(block.facts.layer, block.facts.block).weight
            weight[:, ~gone] += weight[:, gone] @ torch.from_numpy(played.T)
    mask_model(model, plan)
    return model


def naive(shape, plan, windows):
    """Loss and divergence, window by window: float64 ``[2, windows]``."""
    dense, fitted, rows = tiny_model(**shape), naive_model(shape, plan), []
    for window in windows:
        wanted, found = (model(window[None], use_cache=False).logits[0] for model in (dense, fitted))
        far = kl_div(found.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="sum") / len(window)
        rows.append([cross_entropy(found[:-1], window[1:]).item(), far.item()])
    return torch.tensor(rows, dtype=torch.float64).T


def stand_ins_of(model):
    """Stand-ins by sums that are kept in memory, in float64."""
    found = list(grams(adapter_for(model), FITTED, 4))
    return StandIns(lambda layer, kind: found[layer][kind], RIDGE)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("batch_size", "held"), [(1, 1), (2, 7), (5, None)])
def test_each_loses_what_the_fitted_model_loses(shape, batch_size, held):
    model, windows = tiny_model(**shape), tiny_tokens(samples=3)
    plans = plans_for(tiny_facts(model))
    interventions = [Intervention.of_plan(name, plan) for name, plan in plans.items()]
    found = measure(adapter_for(model), windows, interventions, batch_size, held, stand_ins=stand_ins_of(model))
    for row, (name, plan) in enumerate(plans.items(), start=1):
        loss, divergence = naive(shape, plan, windows)
        torch.testing.assert_close(found.loss[row], loss, rtol=1e-8, atol=1e-8, msg=name)
        torch.testing.assert_close(found.divergence[row], divergence, rtol=1e-8, atol=1e-8, msg=name)
    plain = measure(adapter_for(model), windows, interventions, batch_size)
    names = ["dense", *plans]
    for name in ("dense", "nothing", "a block", "a layer", "all"):  # there is nothing to fit
        torch.testing.assert_close(found.loss[names.index(name)], plain.loss[names.index(name)], rtol=1e-12, atol=0)
    assert not found.divergence[names.index("nothing")].any()
    assert not torch.allclose(found.loss[names.index("mixture")], plain.loss[names.index("mixture")], rtol=1e-3)


def test_plans_are_measured_together_as_they_are_alone():
    model, windows = tiny_model("qwen2"), tiny_tokens(samples=4)
    interventions = [Intervention.of_plan(name, plan) for name, plan in plans_for(tiny_facts(model)).items()]
    measured = partial(measure, adapter_for(model), windows, batch_size=3)
    together = measured(interventions, stand_ins=stand_ins_of(model))
    for row, one in enumerate(interventions, start=1):
        alone = measured([one], stand_ins=stand_ins_of(model))
        torch.testing.assert_close(together.loss[row], alone.loss[1], rtol=1e-12, atol=0)
        torch.testing.assert_close(together.divergence[row], alone.divergence[1], rtol=1e-11, atol=1e-13)


def test_each_is_computed_once_and_those_of_one_layer_are_held():
    model, windows = tiny_model(), tiny_tokens(samples=6)
    facts, sums = tiny_facts(model), list(grams(adapter_for(model), FITTED, 4))
    reads = []

    def read(layer, kind):
        reads.append((layer, kind))
        return sums[layer][kind]

    stand_ins = StandIns(read, RIDGE)
    removed = ({"1.mlp": [3], "2.mlp": [1]}, {"1.mlp": [3], "2.mlp": [4], "2.attention": [0]}, {"1.mlp": [5, 6]})
    plans = [Intervention.of_plan(str(number), plan_of(facts, one)) for number, one in enumerate(removed)]
    fits, fit = [], stand_ins._fit
    stand_ins._fit = lambda *told: fits.append(told) or fit(*told)
    measure(adapter_for(model), windows, plans, 2, stand_ins=stand_ins)
    assert reads == [(1, "mlp"), (2, "attention"), (2, "mlp")]
    assert len(fits) == 2 + 1 + 2  # two plans silence the same in layer 1
    assert stand_ins.layer == 2 and len(stand_ins.known) == 3


def test_sums_are_those_of_numpy_and_are_kept_in_single_precision(tmp_path):
    model = tiny_model("qwen2")
    write_grams(adapter_for(model), FITTED, tmp_path / "layers", 4)
    for name, (inputs, stream) in seen_by(model, FITTED).items():
        layer, kind = name.split(".")
        weighted = inputs / np.linalg.norm(stream, axis=1, keepdims=True)
        found = read_gram(tmp_path / "layers", int(layer), kind)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), weighted.T @ weighted, rtol=2e-7, atol=1e-7)


def test_an_offloaded_model_is_summed_up_and_measured_alike(tmp_path):
    model, windows = tiny_model("mistral"), tiny_tokens(samples=3)
    model.save_pretrained(tmp_path)
    offloaded = load_offloaded(tmp_path, torch.float64, CPU)
    for one, other in zip(*(grams(adapter_for(each), FITTED, 4) for each in (model, offloaded)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    interventions = [Intervention.of_plan(name, plan) for name, plan in plans_for(tiny_facts(model)).items()]
    expected, found = (
        measure(adapter_for(each), windows, interventions, 2, stand_ins=stand_ins_of(model))
        for each in (model, offloaded)
    )
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-12, atol=0)


def test_inputs_that_never_speak_play_nothing_and_are_played_as_nothing():
    model, windows = tiny_model(), tiny_tokens(samples=2)
    model.model.layers[1].mlp.up_proj.weight[2:5] = 0
    plan = Intervention.of_plan("x", plan_of(tiny_facts(model), {"1.mlp": [2, 3]}))
    found = measure(adapter_for(model), windows, [plan], 2, stand_ins=stand_ins_of(model))
    torch.testing.assert_close(found.loss[1], found.loss[0], rtol=1e-12, atol=0)


def test_inputs_that_are_no_numbers_are_refused():
    model = tiny_model()
    model.model.layers[2].mlp.up_proj.weight[0] = torch.nan
    with pytest.raises(NonFiniteError, match="mlp block of layer 2 are not finite"):
        list(grams(adapter_for(model), FITTED, 4))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "layer_0.safetensors").write_bytes(b"no tensors")
    for layer in (0, 1):
        with pytest.raises(DataError, match=rf"layer_{layer}.safetensors is damaged .* run its step again: gram"):
            read_gram(tmp_path, layer, "mlp")
