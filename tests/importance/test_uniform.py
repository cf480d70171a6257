"""Uniform widths: of all pairs of widths that reach the budget, the one that loses least."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_selection import allowed_counts

from prunescope.config.sections import BlockLimits, Limits, Method
from prunescope.errors import BudgetError, ConfigError
from prunescope.importance.feasible import check_feasible
from prunescope.importance.selection import select
from prunescope.importance.table import build_table
from toy import REMOVAL, facts_of, prior_of, random_saliency, scores_of, shapes, table_of


def uniform(**limits):
    return Limits(widths="uniform", **{"width_multiple": 1} | limits)


def counts_of(plan):
    """How many groups go from every attention block and every MLP."""
    kinds = [
        {len(block.removed) for block in plan.blocks if block.facts.block == kind} for kind in ("attention", "mlp")
    ]
    assert all(len(kind) == 1 for kind in kinds)
    return tuple(kind.pop() for kind in kinds)


def naive_loss(table, facts, counts):
    """What goes with the lowest scores of every block, in Python's own float64."""
    total = 0.0
    for block in facts.blocks:
        count = counts[block.block == "mlp"]
        total += sum(sorted(scores_of(table, block).tolist())[:count]) * block.cost
    return total


def brute_force(table, facts, ratio, limits):
    """All pairs of counts: those that reach the budget with the fewest channels, then the least loss."""
    attention, mlp = facts.blocks[:2]
    multiple = limits.width_multiple if mlp.groups >= limits.width_multiple else 1
    budget = round(ratio * facts.total_parameters)

    def spent(pair):
        return facts.layers * (pair[0] * attention.cost + pair[1] * mlp.cost)

    (least_a, most_a), (least_m, most_m) = (allowed_counts(block, facts, limits) for block in (attention, mlp))
    allowed = [
        (a, m)
        for a, m in itertools.product(range(attention.groups), range(mlp.groups))
        if attention.groups - a in facts.stock_groups and (m == 0 or (mlp.groups - m) % multiple == 0)
        if least_a <= a <= most_a and least_m <= m <= most_m
    ]
    reaching = [pair for pair in allowed if spent(pair) >= budget]
    fewest = [min(pair for pair in reaching if pair[0] == a) for a in {a for a, _ in reaching}]
    channels = len({m for _, m in allowed}) > 1
    step = facts.layers * (mlp.cost * multiple if channels else attention.cost)
    close = [pair for pair in fewest if spent(pair) - budget < step] or [min(fewest, key=spent)]
    return min(naive_loss(table, facts, pair) for pair in close)


rates = st.builds(BlockLimits, min_rate=st.none() | st.floats(0.01, 0.2), max_rate=st.none() | st.floats(0.4, 1))


@settings(max_examples=120, deadline=None)
@given(shapes, rates, rates, st.sampled_from([1, 4, 8]), st.floats(0.02, 0.8), st.integers(0, 5))
def test_equals_brute_force(facts, attention, mlp, multiple, ratio, seed):
    table, limits = table_of(facts, seed), uniform(attention=attention, mlp=mlp, width_multiple=multiple)
    try:
        selection = select(table, facts, ratio, limits)
    except BudgetError:
        return
    counts, best = counts_of(selection.plan), brute_force(table, facts, ratio, limits)
    assert naive_loss(table, facts, counts) == pytest.approx(best)
    assert selection.plan.removed_parameters >= round(ratio * facts.total_parameters)
    for block in selection.plan.blocks:
        scores = scores_of(table, block.facts)
        assert scores[block.removed].max(initial=-np.inf) <= scores[block.kept].min()


def test_the_cheaper_kind_goes_and_the_prior_counts():
    facts = facts_of(kv_groups=4, channels=40)
    saliency = {name: np.full(len(values), 1.0) for name, values in random_saliency(facts).items()}
    saliency |= {name: values * 20 for name, values in saliency.items() if name.endswith("attention")}
    plain = build_table(facts.blocks, saliency, None, Method())
    assert counts_of(select(plain, facts, 0.2, uniform()).plan)[0] == 0
    method = Method(temperature=1.0)
    prior = prior_of(REMOVAL | {"mlp": np.array([200.0, 20, 10]), "attention": np.array([0.1, 0.1, 0.1])}, 0.0)
    corrected = build_table(facts.blocks, saliency, prior, method)
    assert counts_of(select(corrected, facts, 0.2, uniform()).plan)[0] > 0


def test_attention_goes_only_as_stock_programs_take_it():
    facts = facts_of(kv_groups=4)
    stock = dataclasses.replace(facts, stock_groups=(1, 2, 4))
    limits = uniform(mlp=BlockLimits(max_rate=0))
    one = round(facts.layers * 10 / facts.total_parameters, 6)
    assert counts_of(select(table_of(facts), facts, one, limits).plan) == (1, 0)
    assert counts_of(select(table_of(stock), stock, one, limits).plan) == (2, 0)


@pytest.mark.parametrize(
    ("ratio", "limits", "said"),
    [
        (0.9, {}, r"method\.ratio = 0\.9 cannot be reached under limits\.widths = uniform: at most 0\.\d+ of all"),
        (0.55, {"max_rate": 0.6}, r"cannot be reached under limits\.max_rate and limits\.widths = uniform: at most"),
        (0.05, {"min_rate": 0.5}, r"method\.ratio = 0\.05 is too low: limits\.min_rate takes at least 0\.\d+"),
        (
            0.3,
            {"attention": {"min_rate": 1}},
            r"limits\.attention\.min_rate cannot be kept: under limits\.widths = uniform every attention block of a "
            r"llama model keeps 1, 2 of its 2 groups, for stock programs; relax the limit",
        ),
    ],
)
def test_a_ratio_out_of_reach_is_found_without_scores(ratio, limits, said):
    facts = facts_of(channels=40)
    with pytest.raises(BudgetError, match=said):
        check_feasible(facts, Method(ratio=ratio), uniform(**limits))


def test_what_contradicts_it():
    facts = facts_of()
    with pytest.raises(ConfigError, match=r"limits\.widths = uniform narrows all layers alike"):
        check_feasible(facts, Method(criterion="shortgpt"), uniform())
    old = dataclasses.replace(facts, stock_groups=())
    with pytest.raises(ConfigError, match=r"model\.json of .toy., made by version 0\.2, lacks: delete its folder"):
        check_feasible(old, Method(), uniform())


def test_limits_that_decided_are_named():
    facts = facts_of(kv_groups=4, channels=40)
    saliency = {name: np.full(len(values), 1.0) for name, values in random_saliency(facts).items()}
    saliency |= {name: values * 20 for name, values in saliency.items() if name.endswith("attention")}
    table = build_table(facts.blocks, saliency, None, Method())
    assert select(table, facts, 0.2, uniform()).bound == {}
    capped = select(table, facts, 0.2, uniform(mlp=BlockLimits(max_rate=0.2)))
    assert capped.bound == {"limits.mlp.max_rate": ["0.mlp", "1.mlp", "2.mlp"]}
    forced = select(table, facts, 0.2, uniform(attention=BlockLimits(min_rate=0.25)))
    assert forced.bound == {"limits.attention.min_rate": ["0.attention", "1.attention", "2.attention"]}
