"""Selection: budget, limits, multiples, determinism; and equality with a brute-force solver."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.config.sections import EarlyLayers, Limits
from prunescope.errors import BudgetError, ConfigError, NonFiniteError
from prunescope.importance.prior import choose_prior, prior_weight
from prunescope.importance.selection import mark_removed, select
from prunescope.importance.table import COLUMNS, build_table
from prunescope.models.facts import BlockFacts, ModelFacts

FREE = Limits(width_multiple=1)


def facts_of(layers=3, kv_groups=2, channels=6, attention_cost=10, channel_cost=3, embedding=40):
    blocks = tuple(
        block
        for layer in range(layers)
        for block in (
            BlockFacts(layer, "attention", kv_groups, attention_cost, overhead=2),
            BlockFacts(layer, "mlp", channels, channel_cost, overhead=2),
        )
    )
    decoder = sum(block.parameters + block.overhead for block in blocks)
    return ModelFacts(
        name="toy", path="", origin="", revision=None, model_type="llama", dtype="float32", context=64,
        layers=layers, total_parameters=decoder + embedding, decoder_parameters=decoder,
        blocks=blocks,
    )  # fmt: skip


def table_of(facts, seed=0, prior=None, temperature=0.0):
    random = np.random.default_rng(seed)
    saliency = {f"{b.layer}.{b.block}": random.lognormal(0, 2, b.groups) for b in facts.blocks}
    return build_table(facts.blocks, saliency, prior, temperature)


shapes = st.builds(
    facts_of,
    layers=st.integers(1, 5),
    kv_groups=st.integers(1, 4),
    channels=st.integers(1, 40),
    attention_cost=st.integers(5, 60),
    channel_cost=st.integers(1, 5),
)
all_limits = st.builds(
    Limits,
    max_rate=st.none() | st.floats(0.3, 1),
    early_layers=st.none() | st.builds(EarlyLayers, count=st.integers(1, 3), max_rate=st.floats(0, 1)),
    protect=st.lists(st.sampled_from([0, -1]), max_size=2, unique=True).map(tuple),
    width_multiple=st.sampled_from([1, 4, 8]),
)


@settings(max_examples=150, deadline=None)
@given(shapes, all_limits, st.floats(0.01, 0.9), st.integers(0, 5))
def test_every_selection_keeps_budget_limits_and_multiples(facts, limits, ratio, seed):
    table = table_of(facts, seed)
    try:
        selection = select(table, facts, ratio, limits)
    except BudgetError:
        return
    budget = round(ratio * facts.total_parameters)
    removed = sum(len(plan.removed) * plan.facts.cost for plan in selection.plan.blocks)
    assert removed <= budget
    protected = {index % facts.layers for index in limits.protect}
    for plan in selection.plan.blocks:
        block, count = plan.facts, len(plan.removed)
        if block.layer in protected:
            assert count == 0
        if limits.max_rate is not None:
            assert plan.rate <= limits.max_rate + 1e-9
        if limits.early_layers and block.layer < limits.early_layers.count:
            assert plan.rate <= limits.early_layers.max_rate + 1e-9
        if block.block == "mlp" and count and block.groups >= limits.width_multiple:
            assert (block.groups - count) % limits.width_multiple == 0
        scores = table.query("layer == @block.layer and block == @block.block")["score"].to_numpy()
        assert scores[plan.removed].max(initial=-np.inf) <= scores[plan.kept].min(initial=np.inf)


@settings(max_examples=60, deadline=None)
@given(shapes, st.sampled_from([1, 4]), st.floats(0.05, 0.5), st.integers(0, 5))
def test_what_is_left_of_the_budget_is_less_than_any_free_unit(facts, multiple, ratio, seed):
    table = table_of(facts, seed)
    try:
        selection = select(table, facts, ratio, Limits(width_multiple=multiple))
    except BudgetError:
        return
    spent = sum(len(plan.removed) * plan.facts.cost for plan in selection.plan.blocks)
    fits = [
        plan.facts.cost * multiple
        for plan in selection.plan.blocks
        if plan.facts.block == "mlp" and len(plan.kept) >= multiple and plan.facts.groups % multiple == 0
    ]
    if fits:
        assert selection.budget - spent < max(fits)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 5))
def test_unlimited_selection_equals_the_plain_greedy_rule(facts, seed):
    table = table_of(facts, seed)
    ratio = 0.3
    budget = round(ratio * facts.total_parameters)
    if budget > sum(block.parameters for block in facts.blocks):
        return
    removed = mark_removed(table, select(table, facts, ratio, FREE).plan)
    spent, expected = 0, set()
    for index in table.sort_values("score", kind="stable").index:
        if spent + table.cost[index] > budget:
            break
        spent += table.cost[index]
        expected.add(index)
    assert expected <= set(removed.index[removed.removed])


def brute_force(table, facts, budget):
    """The cut of lowest total score per spent budget: try every combination of block prefixes."""
    orders = []
    for block in facts.blocks:
        rows = table.query("layer == @block.layer and block == @block.block").sort_values("score")
        orders.append((rows.score.to_numpy() * block.cost, block.cost))
    best = None
    for counts in itertools.product(*(range(len(scores) + 1) for scores, _ in orders)):
        spent = sum(count * cost for count, (_, cost) in zip(counts, orders, strict=True))
        if spent == budget:
            loss = sum(scores[:count].sum() for count, (scores, _) in zip(counts, orders, strict=True))
            best = min(best, (loss, counts)) if best else (loss, counts)
    return best[1]


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force_when_the_budget_fits_exactly(seed):
    facts = facts_of(layers=2, kv_groups=1, channels=4, attention_cost=3, channel_cost=3, embedding=26)
    table = table_of(facts, seed)
    ratio = 12 / facts.total_parameters
    selection = select(table, facts, ratio, FREE)
    assert tuple(len(plan.removed) for plan in selection.plan.blocks) == brute_force(table, facts, 12)


def test_larger_ratio_removes_a_superset_of_units():
    facts = facts_of(layers=4, channels=40, attention_cost=3)
    table = table_of(facts)
    previous = set()
    for ratio in (0.1, 0.2, 0.3, 0.4):
        marked = mark_removed(table, select(table, facts, ratio, FREE).plan)
        removed = set(marked.index[marked.removed])
        assert previous <= removed
        previous = removed


def test_equal_scores_are_cut_in_table_order():
    facts = facts_of(layers=2, channels=8)
    saliency = {f"{b.layer}.{b.block}": np.full(b.groups, float(b.cost)) for b in facts.blocks}
    table = build_table(facts.blocks, saliency, None, 0.0)
    one = select(table, facts, 0.2, Limits(width_multiple=4)).plan
    two = select(table, facts, 0.2, Limits(width_multiple=4)).plan
    assert [p.removed.tolist() for p in one.blocks] == [p.removed.tolist() for p in two.blocks]
    assert one.block(0, "attention").removed.tolist() == [0, 1]


def test_unreachable_ratio_says_what_is_and_why():
    facts = facts_of(layers=2)
    with pytest.raises(BudgetError, match=r"ratio = 0\.5 cannot be reached under limits\.max_rate: at most 0\.3065"):
        select(table_of(facts), facts, 0.5, Limits(max_rate=0.5, width_multiple=1))
    with pytest.raises(BudgetError, match="because embeddings, norms and head are not pruned: at most"):
        select(table_of(facts), facts, 0.95, FREE)


def test_protect_out_of_range():
    facts = facts_of(layers=3)
    with pytest.raises(ConfigError, match=r"limits\.protect: layer 3 does not exist; allowed: -3 to 2"):
        select(table_of(facts), facts, 0.1, Limits(protect=(3,), width_multiple=1))


def test_binding_limits_are_reported():
    facts = facts_of(layers=3, channels=40)
    table = table_of(facts)
    table.loc[(table.layer == 1) & (table.block == "mlp"), "score"] = 1e-9
    selection = select(table, facts, 0.2, Limits(max_rate=0.5, width_multiple=1))
    assert "1.mlp" in selection.bound["limits.max_rate"]


# --- table and prior -------------------------------------------------------------------------------------


REMOVAL = {
    "attention": np.array([0.5, -0.1, 0.3]),
    "mlp": np.array([2.0, 0.2, 0.1]),
    "layer": np.array([3.0, 0.05, 0.4]),
}


def naive_score(saliency, cost, prior, temperature):
    return saliency / cost * (np.log(1 + max(prior, 0)) ** temperature if temperature else 1)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("tau", [0.0, 0.2, float("inf"), "auto"])
def test_scores_equal_the_formula(temperature, tau):
    facts = facts_of(layers=3)
    prior = choose_prior(REMOVAL, tau)
    table = table_of(facts, prior=prior, temperature=temperature)
    threshold = np.percentile(REMOVAL["layer"], 25) if tau == "auto" else tau
    for row in table.itertuples():
        layer_loss = REMOVAL["layer"][row.layer]
        own = layer_loss if layer_loss < threshold else REMOVAL[row.block][row.layer]
        assert row.prior == own
        assert row.score == pytest.approx(naive_score(row.saliency, row.cost, own, temperature), rel=1e-12)
    assert list(table.columns) == COLUMNS
    assert sorted(table["rank"]) == list(range(len(table)))
    assert table.sort_values("rank").score.is_monotonic_increasing


def test_tau_zero_is_block_wise_and_inf_layer_wise():
    blocks, layers = choose_prior(REMOVAL, 0.0), choose_prior(REMOVAL, float("inf"))
    np.testing.assert_array_equal(blocks.values["mlp"], REMOVAL["mlp"])
    np.testing.assert_array_equal(layers.values["mlp"], REMOVAL["layer"])
    np.testing.assert_array_equal(layers.values["attention"], REMOVAL["layer"])


def test_tau_zero_stays_block_wise_for_a_negative_layer():
    removal = REMOVAL | {"layer": np.array([3.0, -0.2, 0.4])}
    assert choose_prior(removal, 0.0).layer_wise == []


def test_no_temperature_equals_no_prior():
    facts = facts_of()
    plain, flat = table_of(facts), table_of(facts, prior=choose_prior(REMOVAL, 0.0), temperature=0.0)
    pd.testing.assert_series_equal(plain.score, flat.score)


def test_negative_deltas_are_clamped_and_reported():
    prior = choose_prior(REMOVAL, 0.0)
    assert prior.negative() == [{"layer": 1, "block": "attention", "delta": -0.1}]
    assert prior_weight(np.array([-0.1, 0.0, 1.0]), 1.0).tolist() == [0.0, 0.0, np.log(2)]


def test_saliency_that_is_not_finite_names_the_block():
    facts = facts_of()
    saliency = {f"{b.layer}.{b.block}": np.ones(b.groups) for b in facts.blocks}
    saliency["1.mlp"][2] = np.nan
    with pytest.raises(NonFiniteError, match="saliency of the mlp of layer 1"):
        build_table(facts.blocks, saliency, None, 0.0)


def test_rounding_unit_is_a_full_unit_even_where_the_width_is_no_multiple():
    facts = facts_of(layers=3, kv_groups=2, channels=13, attention_cost=1000, channel_cost=3, embedding=4000)
    table = table_of(facts)
    for ratio in np.linspace(0.002, 0.01, 9):
        selection = select(table, facts, ratio, Limits(width_multiple=4))
        assert selection.rounding_unit == 12
        spent = sum(len(plan.removed) * plan.facts.cost for plan in selection.plan.blocks)
        assert selection.budget - spent < 12
