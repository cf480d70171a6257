"""Selection: budget, limits, multiples, determinism; and equality with a brute-force solver."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prunescope.config.sections import BlockLimits, EarlyLayers, Limits, Method
from prunescope.errors import BudgetError, ConfigError
from prunescope.importance.feasible import check_feasible
from prunescope.importance.limits import budget_of, lanes_of, most_parameters
from prunescope.importance.selection import mark_removed, select
from prunescope.importance.table import build_table
from toy import FREE, PLAIN, REMOVAL, facts_of, prior_of, scores_of, shapes, table_of

low_rates, high_rates = st.none() | st.floats(0, 0.25), st.none() | st.floats(0.3, 1)
block_limits = st.builds(BlockLimits, min_rate=low_rates, max_rate=high_rates)
all_limits = st.builds(
    Limits,
    min_rate=low_rates,
    max_rate=high_rates,
    attention=block_limits,
    mlp=block_limits,
    early_layers=st.none() | st.builds(EarlyLayers, count=st.integers(1, 3), max_rate=st.floats(0, 1)),
    protect=st.lists(st.sampled_from([0, -1]), max_size=2, unique=True).map(tuple),
    collapse_below=st.none() | st.floats(0, 1),
    width_multiple=st.sampled_from([1, 4, 8]),
)


def possible_counts(block, multiple):
    """How many groups a block may lose so that what stays of an MLP is a multiple."""
    if block.block == "attention" or block.groups < multiple:
        return list(range(block.groups + 1))
    return [0] + [count for count in range(1, block.groups + 1) if (block.groups - count) % multiple == 0]


def allowed_counts(block, facts, limits):
    """The fewest and the most groups that the limits let a block lose, found by trying every count."""
    tight = [limits, getattr(limits, block.block)]
    most = min([1.0] + [section.max_rate for section in tight if section.max_rate is not None])
    least = max([0.0] + [section.min_rate for section in tight if section.min_rate is not None])
    if limits.early_layers and block.layer < limits.early_layers.count:
        most = min(most, limits.early_layers.max_rate)
    if block.layer in {index % facts.layers for index in limits.protect}:
        most = 0
    counts = possible_counts(block, limits.width_multiple)
    highest = max(count for count in counts if count <= most * block.groups + 1e-9)
    return min(min(count for count in counts if count >= least * block.groups - 1e-9), highest), highest


def cost_of(block, count):
    return count * block.cost + (block.overhead if count == block.groups else 0)


@settings(max_examples=300, deadline=None)
@given(shapes, all_limits, st.floats(0.01, 0.9), st.integers(0, 5))
def test_every_selection_keeps_budget_limits_and_multiples(facts, limits, ratio, seed):
    table = table_of(facts, seed)
    try:
        selection = select(table, facts, ratio, limits)
    except BudgetError:
        return
    assert selection.plan.removed_parameters <= round(ratio * facts.total_parameters)
    for plan in selection.plan.blocks:
        block, count = plan.facts, len(plan.removed)
        least, most = allowed_counts(block, facts, limits)
        assert least <= count <= most
        assert count in possible_counts(block, limits.width_multiple)
        scores = scores_of(table, block)
        assert scores[plan.removed].max(initial=-np.inf) <= scores[plan.kept].min(initial=np.inf)


@settings(max_examples=150, deadline=None)
@given(shapes, all_limits, st.floats(0.01, 0.9), st.integers(0, 5))
def test_no_unit_that_may_go_fits_what_is_left_of_the_budget(facts, limits, ratio, seed):
    try:
        selection = select(table_of(facts, seed), facts, ratio, limits)
    except BudgetError:
        return
    left = budget_of(facts, ratio) - selection.plan.removed_parameters
    for plan in selection.plan.blocks:
        block, count = plan.facts, len(plan.removed)
        larger = [c for c in possible_counts(block, limits.width_multiple) if c > count]
        if count < allowed_counts(block, facts, limits)[1]:
            assert cost_of(block, larger[0]) - cost_of(block, count) > left


@settings(max_examples=200, deadline=None)
@given(shapes, all_limits, st.floats(0.05, 0.6), st.floats(0.2, 1), st.integers(0, 5))
def test_collapse_leaves_no_thin_block_that_could_go_and_be_paid(facts, limits, ratio, below, seed):
    limits = limits.model_copy(update={"collapse_below": below})
    try:
        selection = select(table_of(facts, seed), facts, ratio, limits)
    except BudgetError:
        return
    name = {f"{plan.facts.layer}.{plan.facts.block}": plan for plan in selection.plan.blocks}
    bounds = {name: allowed_counts(plan.facts, facts, limits) for name, plan in name.items()}
    assert all(name[block].whole and bounds[block][1] == name[block].facts.groups for block in selection.collapsed)
    must = {
        block: plan.facts.groups if block in selection.collapsed else bounds[block][0] for block, plan in name.items()
    }
    forced = sum(cost_of(plan.facts, must[block]) for block, plan in name.items())
    for block, plan in name.items():
        thin = 0 < len(plan.kept) / plan.facts.groups < below - 1e-9
        rest = cost_of(plan.facts, plan.facts.groups) - cost_of(plan.facts, must[block])
        if thin and bounds[block][1] == plan.facts.groups:
            assert forced + rest > budget_of(facts, ratio)


@settings(max_examples=60, deadline=None)
@given(shapes, all_limits, st.floats(0.05, 0.6), st.integers(0, 5))
def test_the_same_numbers_give_the_same_plan(facts, limits, ratio, seed):
    try:
        one, two = (select(table_of(facts, seed), facts, ratio, limits) for _ in range(2))
    except BudgetError:
        return
    assert [plan.removed.tolist() for plan in one.plan.blocks] == [plan.removed.tolist() for plan in two.plan.blocks]
    assert (one.bound, one.collapsed) == (two.bound, two.collapsed)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 5))
def test_unlimited_selection_equals_the_plain_greedy_rule(facts, seed):
    table = table_of(facts, seed)
    budget = round(0.3 * facts.total_parameters)
    assume(budget <= sum(block.parameters + block.overhead for block in facts.blocks))
    removed = mark_removed(table, select(table, facts, 0.3, FREE).plan)
    spent, expected = 0, set()
    left = {(block.layer, block.block): block for block in facts.blocks}
    gone = dict.fromkeys(left, 0)
    for index in table.sort_values("score", kind="stable").index:
        place = table.layer[index], table.block[index]
        gone[place] += 1
        cost = cost_of(left[place], gone[place]) - cost_of(left[place], gone[place] - 1)
        if spent + cost > budget:
            break
        spent += cost
        expected.add(index)
    assert expected <= set(removed.index[removed.removed])


def brute_force(table, facts, budget, limits):
    """The cut of lowest total score that spends the budget: try every combination of block prefixes."""
    losses, ranges = [], []
    for block in facts.blocks:
        losses.append(np.append(0, np.cumsum(np.sort(scores_of(table, block)) * block.cost)))
        least, most = allowed_counts(block, facts, limits)
        ranges.append(range(least, most + 1))
    cuts = [
        (sum(loss[count] for loss, count in zip(losses, counts, strict=True)), counts)
        for counts in itertools.product(*ranges)
        if sum(cost_of(block, count) for block, count in zip(facts.blocks, counts, strict=True)) == budget
    ]
    return min(cuts)[1] if cuts else None


@settings(max_examples=80, deadline=None)
@given(all_limits, st.integers(1, 8), st.integers(0, 1000))
def test_equals_brute_force_when_the_budget_fits_exactly(limits, groups, seed):
    facts = facts_of(layers=2, kv_groups=1, channels=4, attention_cost=3, channel_cost=3, embedding=26, overhead=0)
    limits = limits.model_copy(update={"width_multiple": 1, "collapse_below": None})
    table = table_of(facts, seed)
    expected = brute_force(table, facts, 3 * groups, limits)
    try:
        selection = select(table, facts, 3 * groups / facts.total_parameters, limits)
    except BudgetError:
        assert expected is None
        return
    assert tuple(len(plan.removed) for plan in selection.plan.blocks) == expected


@settings(max_examples=60, deadline=None)
@given(shapes, st.sampled_from([1, 4]), st.floats(0.02, 0.6), st.floats(0.02, 0.6), st.integers(0, 5))
def test_a_larger_ratio_never_removes_less(facts, multiple, one, two, seed):
    table, limits = table_of(facts, seed), Limits(width_multiple=multiple)
    try:
        less, more = (select(table, facts, ratio, limits).plan for ratio in sorted((one, two)))
    except BudgetError:
        return
    assert less.removed_parameters <= more.removed_parameters


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.6), st.floats(0.02, 0.6), st.integers(0, 5))
def test_where_all_units_cost_the_same_a_larger_ratio_removes_a_superset(one, two, seed):
    facts = facts_of(layers=4, channels=40, attention_cost=3, overhead=0)
    less, more = (
        mark_removed(table_of(facts, seed), select(table_of(facts, seed), facts, ratio, FREE).plan).removed
        for ratio in sorted((one, two))
    )
    assert (less <= more).all()


def test_equal_scores_are_cut_in_table_order():
    facts = facts_of(layers=2, channels=8)
    saliency = {f"{b.layer}.{b.block}": np.full(b.groups, float(b.cost)) for b in facts.blocks}
    plan = select(build_table(facts.blocks, saliency, None, PLAIN), facts, 0.25, Limits(width_multiple=4)).plan
    assert plan.block(0, "attention").removed.tolist() == [0, 1]
    assert plan.block(0, "mlp").removed.tolist() == [0, 1, 2, 3]


def test_equal_scores_inside_a_block_are_cut_by_saliency():
    """A prior of 0 makes all scores of a block 0; its least salient groups still go first."""
    facts = facts_of(layers=3, channels=10)
    prior = prior_of(REMOVAL | {"mlp": np.array([2.0, -0.2, 0.1])}, 0.0)
    table = table_of(facts, prior=prior, method=Method(temperature=1.0))
    plan = select(table, facts, 0.2, Limits(max_rate=0.5, width_multiple=1)).plan
    rows = table.query("layer == 1 and block == 'mlp'")
    assert (rows.score == 0).all()
    assert set(plan.block(1, "mlp").removed) == set(rows.sort_values("saliency").group[:5])
    assert rows.sort_values("saliency")["rank"].is_monotonic_increasing


# --- limits ----------------------------------------------------------------------------------------------


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
    assert "1.mlp" in select(table, facts, 0.2, Limits(max_rate=0.5, width_multiple=1)).bound["limits.max_rate"]
    tighter = Limits(max_rate=0.5, mlp=BlockLimits(max_rate=0.4), width_multiple=1)
    selection = select(table, facts, 0.2, tighter)
    assert "1.mlp" in selection.bound["limits.mlp.max_rate"]
    assert selection.plan.block(1, "mlp").rate == 0.4


@pytest.mark.parametrize(
    ("limits", "paths"),
    [
        (Limits(min_rate=0.5, max_rate=0.3), r"limits\.min_rate = 0\.5 is above limits\.max_rate = 0\.3"),
        (
            Limits(min_rate=0.5, mlp=BlockLimits(max_rate=0.3)),
            r"limits\.min_rate = 0\.5 is above limits\.mlp\.max_rate = 0\.3",
        ),
        (
            Limits(attention=BlockLimits(min_rate=0.5), max_rate=0.3),
            r"limits\.attention\.min_rate = 0\.5 is above limits\.max_rate",
        ),
    ],
)
def test_contradicting_rates_name_both_paths(limits, paths):
    facts = facts_of()
    with pytest.raises(ConfigError, match=paths):
        select(table_of(facts), facts, 0.2, limits)


def test_minimum_rates_go_first_and_are_rounded_up_to_units():
    facts = facts_of(layers=3, channels=40)
    table = table_of(facts)
    table.loc[(table.layer == 2) & (table.block == "mlp"), "score"] = 1e9
    limits = Limits(mlp=BlockLimits(min_rate=0.15), width_multiple=4)
    plan = select(table, facts, 0.2, limits).plan
    assert len(plan.block(2, "mlp").removed) == 8  # 6 channels rounded up
    assert len(select(table, facts, 0.2, Limits(width_multiple=4)).plan.block(2, "mlp").removed) == 0


def test_minimum_rates_yield_to_protection_and_early_layers():
    facts = facts_of(layers=4, channels=40)
    limits = Limits(
        min_rate=0.5, early_layers=EarlyLayers(count=2, max_rate=0.25), protect=(0,), width_multiple=1
    )  # fmt: skip
    plan = select(table_of(facts), facts, 0.4, limits).plan
    assert [len(plan.block(layer, "mlp").removed) for layer in (0, 1)] == [0, 10]
    assert all(len(plan.block(layer, "mlp").removed) >= 20 for layer in (2, 3))


def test_minimum_rates_above_the_ratio_say_so():
    facts = facts_of(layers=3, channels=40)
    limits = Limits(mlp=BlockLimits(min_rate=0.5), width_multiple=1)
    with pytest.raises(BudgetError, match=r"ratio = 0\.1 is too low: limits\.mlp\.min_rate takes at least 0\.3814"):
        select(table_of(facts), facts, 0.1, limits)


def test_collapse_by_hand():
    """Two MLPs of 10 channels: one would keep 1 channel, and takes the price of it from the other."""
    facts = facts_of(layers=2, kv_groups=1, channels=10, attention_cost=10, channel_cost=3, embedding=16, overhead=2)
    saliency = {
        "0.attention": [1e9], "1.attention": [1e9],
        "0.mlp": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000],
        "1.mlp": [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    }  # fmt: skip
    table = build_table(facts.blocks, {name: np.array(values) for name, values in saliency.items()}, None, PLAIN)
    ratio = 36 / facts.total_parameters  # 12 channels
    plain = select(table, facts, ratio, FREE)
    assert [len(plan.removed) for plan in plain.plan.blocks] == [0, 9, 0, 3]
    limits = Limits(collapse_below=0.2, width_multiple=1)
    thick = select(table, facts, ratio, limits)
    assert [len(plan.removed) for plan in thick.plan.blocks] == [0, 10, 0, 1]
    assert (thick.collapsed, plain.collapsed) == (["0.mlp"], [])
    assert thick.plan.removed_parameters == 35  # of 36
    # 9 channels pay for no tenth with its norm; a limit keeps the block from going whole.
    assert select(table, facts, 31 / facts.total_parameters, limits).collapsed == []
    assert select(table, facts, ratio, limits.model_copy(update={"max_rate": 0.95})).collapsed == []


def test_the_thinnest_block_collapses_first():
    """Blocks that would keep 2 and 1 of 10 channels: the latter goes, and the former is thin no longer."""
    facts = facts_of(layers=2, kv_groups=1, channels=10, attention_cost=10, channel_cost=3, embedding=16, overhead=2)
    saliency = {
        "0.attention": [1e9], "1.attention": [1e9],
        "0.mlp": [*range(1, 9), 1000, 1001],
        "1.mlp": [*range(1, 10), 1002],
    }  # fmt: skip
    table = build_table(facts.blocks, {name: np.array(values) for name, values in saliency.items()}, None, PLAIN)
    selection = select(table, facts, 51 / facts.total_parameters, Limits(collapse_below=0.3, width_multiple=1))
    assert [len(plan.removed) for plan in selection.plan.blocks] == [0, 6, 0, 10]
    assert selection.collapsed == ["1.mlp"]


# --- whole layers ----------------------------------------------------------------------------------------


def layer_table(facts, influence):
    saliency = {f"{b.layer}.{b.block}": np.full(b.groups, influence[b.layer] * b.cost) for b in facts.blocks}
    return build_table(facts.blocks, saliency, None, PLAIN)


@settings(max_examples=100, deadline=None)
@given(shapes, st.floats(0.01, 0.95), st.lists(st.sampled_from([0, -1]), unique=True), st.integers(0, 100))
def test_whole_layers_go_by_influence_and_the_budget_holds_within_one(facts, ratio, protect, seed):
    influence = np.random.default_rng(seed).permutation(facts.layers)
    limits = Limits(protect=tuple(protect), collapse_below=0.5)
    try:
        selection = select(layer_table(facts, influence), facts, ratio, limits, unit="layer")
    except BudgetError:
        return
    layer = sum(block.parameters + block.overhead for block in facts.blocks[:2])
    free = [int(i) for i in np.argsort(influence) if i not in {index % facts.layers for index in protect}]
    expected = free[: budget_of(facts, ratio) // layer]
    for plan in selection.plan.blocks:
        assert plan.rate == (plan.facts.layer in expected)
    assert selection.rounding_unit == layer
    assert 0 <= budget_of(facts, ratio) - selection.plan.removed_parameters < layer


def test_whole_layers_use_the_prior_of_all_they_hold():
    """Under `share` a layer's score is what its two blocks are worth together, per parameter."""
    facts = facts_of(layers=3, overhead=0)
    table = table_of(facts, prior=prior_of(REMOVAL, 0.0), method=Method(combine="share", prior_floor=0.0))
    worth = REMOVAL["attention"].clip(0) + REMOVAL["mlp"]
    plan = select(table, facts, 1.5 * 38 / facts.total_parameters, FREE, unit="layer").plan
    assert [plan.block(layer, "mlp").whole for layer in range(3)] == (np.arange(3) == worth.argmin()).tolist()


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        (Limits(max_rate=0.5), r"limits\.max_rate = 0\.5"),
        (Limits(mlp=BlockLimits(max_rate=0.9)), r"limits\.mlp\.max_rate = 0\.9"),
        (Limits(attention=BlockLimits(min_rate=0.1)), r"limits\.attention\.min_rate = 0\.1"),
        (Limits(early_layers=EarlyLayers()), r"limits\.early_layers\.max_rate = 0\.3"),
    ],
)
def test_rates_make_whole_layers_impossible(limits, path):
    facts = facts_of()
    with pytest.raises(ConfigError, match=path + r" cannot be kept: method\.criterion = shortgpt removes whole layers"):
        check_feasible(facts, Method(criterion="shortgpt", ratio=0.3), limits)


def test_a_ratio_below_one_layer_says_so():
    facts = facts_of(layers=5)
    with pytest.raises(BudgetError, match=r"ratio = 0\.1 removes nothing: .* and one has 0\.1680 of all parameters"):
        check_feasible(facts, Method(criterion="shortgpt", ratio=0.1), Limits())


# --- feasibility -----------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(shapes, all_limits, st.sampled_from(["group", "layer"]))
def test_the_largest_ratio_is_reached_and_no_more(facts, limits, unit):
    if unit == "layer":
        limits = Limits(protect=limits.protect)
    largest = most_parameters(lanes_of(facts.blocks, limits, unit)) / facts.total_parameters
    table = table_of(facts)
    if largest > 0:
        plan = select(table, facts, largest, limits, unit).plan
        assert plan.removed_parameters == round(largest * facts.total_parameters)
    criterion = "shortgpt" if unit == "layer" else "taylor"
    too_much = largest + 1 / facts.total_parameters
    with pytest.raises(BudgetError) as checked:
        check_feasible(facts, Method(criterion=criterion, ratio=too_much), limits)
    with pytest.raises(BudgetError) as selected:
        select(table, facts, too_much, limits, unit)
    assert str(checked.value) == str(selected.value)
    assert f"{largest:.4f}" in str(checked.value)


def test_feasibility_needs_neither_torch_nor_pandas():
    code = "import prunescope.importance.limits, sys; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_rounding_unit_is_a_full_unit_even_where_the_width_is_no_multiple():
    facts = facts_of(layers=3, kv_groups=2, channels=13, attention_cost=1000, channel_cost=3, embedding=4000)
    table = table_of(facts)
    for ratio in np.linspace(0.002, 0.01, 9):
        selection = select(table, facts, ratio, Limits(width_multiple=4))
        assert selection.rounding_unit == 12
        assert budget_of(facts, ratio) - selection.plan.removed_parameters < 12


def test_a_minimum_that_took_more_than_the_score_is_told():
    facts = facts_of(layers=2, kv_groups=4, channels=6, attention_cost=10, channel_cost=3)
    table = table_of(facts)
    high = (table["layer"] == 1) | (table["block"] == "attention")
    table = table.assign(score=np.where(high, 100.0, 1.0) + np.arange(len(table)) * 1e-3)
    selection = select(table, facts, 0.12, Limits(width_multiple=1, mlp=BlockLimits(min_rate=0.3)))
    assert selection.bound == {"limits.mlp.min_rate": ["1.mlp"]}
    assert select(table, facts, 0.12, Limits(width_multiple=1)).bound == {}


def test_a_collapsed_block_does_not_make_others_look_stopped():
    """What collapses goes by its width, not by its score."""
    facts = facts_of(layers=2, kv_groups=1, channels=10, attention_cost=1000, channel_cost=10, embedding=0, overhead=0)
    table = table_of(facts).assign(score=[9e2, *range(9), 5e3, 9e2, *range(20, 30)])
    limits = Limits(width_multiple=1, collapse_below=0.2, attention=BlockLimits(max_rate=0))
    selection = select(table, facts, 110 / facts.total_parameters, limits)
    assert selection.collapsed == ["0.mlp"]
    assert selection.bound == {}
