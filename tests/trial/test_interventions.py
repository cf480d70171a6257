"""Interventions: each loses what the masked model loses, however many share a sweep."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, kl_div

from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import load_offloaded
from prunescope.models.loss import LOGITS
from prunescope.trial.interventions import Intervention, measure
from shapes import SHAPES
from tiny import mask_model, tiny_facts, tiny_model, tiny_tokens, uneven_plan

CPU = torch.device("cpu")


def plan_of(facts, removed):
    """A plan that removes these groups: ``{"0.mlp": [1, 2]}``."""
    plans = (BlockPlan(one, np.array(removed.get(f"{one.layer}.{one.block}", ()), np.int64)) for one in facts.blocks)
    return PruningPlan(facts.name, tuple(plans))


def naive(shape, plan, windows):
    """Loss and divergence by masking the model's weights and running it, window by window: float64 ``[2, windows]``."""
    dense, masked = tiny_model(**shape), tiny_model(**shape)
    mask_model(masked, plan)
    rows = []
    for window in windows:
        wanted, found = (model(window[None], use_cache=False).logits[0] for model in (dense, masked))
        divergence = kl_div(found.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="sum") / len(
            window
        )
        rows.append([cross_entropy(found[:-1], window[1:]).item(), divergence.item()])
    return torch.tensor(rows, dtype=torch.float64).T


def plans_for(facts):
    """Plans of many kinds: nothing, single groups, blocks, layers, and mixtures that agree up to some layer."""
    last = facts.layers - 1
    whole = {f"{one.layer}.{one.block}": list(range(one.groups)) for one in facts.blocks}
    removed = {
        "nothing": {},
        "a group": {"1.mlp": [3]},
        "a head group": {f"{last}.attention": [0]},
        "a block": {"2.attention": whole["2.attention"]},
        "a layer": {"1.attention": whole["1.attention"], "1.mlp": whole["1.mlp"]},
        "the first layer": {"0.attention": whole["0.attention"], "0.mlp": whole["0.mlp"]},
        "agrees with a group": {"1.mlp": [3], "3.mlp": [0, 5]},
        "agrees with a block": {"2.attention": whole["2.attention"], "2.mlp": [1]},
        "all": whole,
    }
    return {name: plan_of(facts, groups) for name, groups in removed.items()} | {"mixture": uneven_plan(facts)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("batch_size", "held"), [(1, 1), (2, 7), (5, None)])
def test_each_loses_what_the_masked_model_loses(shape, batch_size, held):
    model, windows = tiny_model(**shape), tiny_tokens(samples=3)
    plans = plans_for(tiny_facts(model))
    interventions = [Intervention.of_plan(name, plan) for name, plan in plans.items()]
    found = measure(adapter_for(model), windows, interventions, batch_size, held)
    assert found.loss.dtype == found.divergence.dtype == torch.float64
    assert not found.divergence[0].any()
    expected = [naive(shape, plan, windows) for plan in [plan_of(tiny_facts(model), {}), *plans.values()]]
    for row, (name, values) in enumerate(zip(["dense", *plans], expected, strict=True)):
        torch.testing.assert_close(found.loss[row], values[0], rtol=1e-9, atol=1e-9, msg=name)
        torch.testing.assert_close(found.divergence[row], values[1], rtol=1e-9, atol=1e-9, msg=name)


@given(st.data())
def test_any_mixture_is_measured(data):
    model, windows = tiny_model(num_hidden_layers=3), tiny_tokens(samples=2, length=6)
    facts = tiny_facts(model)
    blocks = {f"{one.layer}.{one.block}": one.groups for one in facts.blocks}
    some = {name: st.lists(st.integers(0, count - 1), unique=True).map(sorted) for name, count in blocks.items()}
    groups = st.fixed_dictionaries({}, optional=some)
    plans = [plan_of(facts, removed) for removed in data.draw(st.lists(groups, max_size=5))]
    held = data.draw(st.one_of(st.none(), st.integers(1, 20)))
    found = measure(adapter_for(model), windows, [Intervention.of_plan("x", plan) for plan in plans], 2, held)
    for row, plan in enumerate(plans, start=1):
        values = naive({"num_hidden_layers": 3}, plan, windows)
        torch.testing.assert_close(found.loss[row], values[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.divergence[row], values[1], rtol=1e-9, atol=1e-9)


def test_an_offloaded_model_is_read_once_for_all(tmp_path):
    model, windows = tiny_model("qwen2"), tiny_tokens(samples=3)
    model.save_pretrained(tmp_path)
    offloaded = load_offloaded(tmp_path, torch.float64, CPU)
    interventions = [Intervention.of_plan(name, plan) for name, plan in plans_for(tiny_facts(model)).items()]
    reads, read = [], offloaded.offloaded_layers._read
    offloaded.offloaded_layers._read = lambda name: reads.append(name) or read(name)
    found = measure(adapter_for(offloaded), windows, interventions, 2)
    assert len(reads) == len(set(reads)) == len([name for name, _ in model.named_parameters() if "layers" in name])
    expected = measure(adapter_for(model), windows, interventions, 2)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.divergence, expected.divergence, rtol=1e-12, atol=1e-15)


def test_the_head_runs_on_a_few_positions_at_a_time(monkeypatch):
    model, windows = tiny_model(), tiny_tokens(samples=1)
    whole = measure(adapter_for(model), windows, [Intervention("x", {"1.mlp": None})], 2)
    monkeypatch.setattr("prunescope.models.loss.LOGITS", 61 * 2 * 5)
    seen = []
    model.lm_head.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
    parts = measure(adapter_for(model), windows, [Intervention("x", {"1.mlp": None})], 2)
    assert LOGITS > 61 * 12 * 3 and max(seen) <= 10
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(parts.divergence, whole.divergence, rtol=1e-12, atol=0)


def test_streams_are_shared_as_long_as_interventions_agree():
    model, windows = tiny_model(num_hidden_layers=6), tiny_tokens(samples=1)
    runs = []
    for layer in model.model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, args: runs.append(len(args[0])))
    late = [Intervention(f"{group}", {"5.mlp": (group,)}) for group in range(6)]
    measure(adapter_for(model), windows, late, 8)
    assert sum(runs) == 5 + 7  # one stream up to the last layer
    runs.clear()
    measure(adapter_for(model), windows, [Intervention("whole", {"2.mlp": None, "2.attention": None})], 8)
    assert sum(runs) == 6 + 3
