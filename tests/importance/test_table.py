"""The table: scores and priors against their formulas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.summary import NegativeDelta
from prunescope.config.sections import Corrections, Method
from prunescope.errors import NonFiniteError
from prunescope.importance.prior import prior_weight, share_out
from prunescope.importance.table import COLUMNS, build_table
from toy import PLAIN, REMOVAL, facts_of, prior_of, random_saliency, scores_of, shapes, table_of

TAUS = [0.0, 0.2, math.inf, "auto"]


def naive_prior(layer, block, tau):
    threshold = np.percentile(REMOVAL["layer"], 25) if tau == "auto" else tau
    layer_loss = REMOVAL["layer"][layer]
    return layer_loss if layer_loss < threshold else REMOVAL[block][layer]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("tau", TAUS)
def test_multiplied_scores_equal_the_formula(temperature, tau):
    facts = facts_of(layers=3)
    table = table_of(facts, prior=prior_of(REMOVAL, tau), method=Method(temperature=temperature))
    for row in table.itertuples():
        own = naive_prior(row.layer, row.block, tau)
        weight = np.log(1 + max(own, 0)) ** temperature if temperature else 1
        assert row.prior == own
        assert row.score == pytest.approx(row.saliency / row.cost * weight, rel=1e-12)
    assert list(table.columns) == COLUMNS
    assert sorted(table["rank"]) == list(range(len(table)))
    assert table.sort_values("rank").score.is_monotonic_increasing


@pytest.mark.parametrize("corrections", [Corrections(), Corrections(depth_weight=0.5)])
@pytest.mark.parametrize("tau", TAUS)
def test_shared_scores_equal_the_formula(tau, corrections):
    facts = facts_of(layers=3)
    method = Method(combine="share", prior_floor=0.01, temperature=3.0)
    table = build_table(facts.blocks, random_saliency(facts), prior_of(REMOVAL, tau), method, corrections)
    for row in table.itertuples():
        own = naive_prior(row.layer, row.block, tau)
        block = table[(table.layer == row.layer) & (table.block == row.block)]
        depth = 1 + (1 - row.layer / 3) * corrections.depth_weight
        score = row.saliency / block.saliency.sum() * max(own, 0.01) / row.cost * depth
        assert row.prior == own
        assert row.score == pytest.approx(score, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    shapes,
    st.sampled_from(TAUS),
    st.sampled_from([None, "log", "sqrt", "minmax", "zscore"]),
    st.sampled_from(["block", "layer"]),
    st.booleans(),
    st.integers(0, 5),
)
def test_shares_of_a_block_sum_to_its_prior(facts, tau, normalize, scope, silent, seed):
    random = np.random.default_rng(seed)
    removal = {kind: random.normal(0.5, 1, facts.layers) for kind in (*KINDS, "layer")}
    prior = prior_of(removal, tau)
    saliency = {name: values * (not silent) for name, values in random_saliency(facts, seed).items()}
    method, corrections = Method(combine="share"), Corrections(normalize=normalize, scope=scope)
    table = build_table(facts.blocks, saliency, prior, method, corrections)
    for block in facts.blocks:
        shares = scores_of(table, block) * block.cost
        assert shares.sum() == pytest.approx(max(prior.of(block), method.prior_floor))


def test_a_block_without_saliency_shares_equally():
    np.testing.assert_allclose(share_out(2.0, 1e-4, np.zeros(4)), 0.5)
    np.testing.assert_allclose(share_out(-2.0, 1e-4, np.array([1.0, 3.0])), [0.25e-4, 0.75e-4])


def test_tau_zero_is_block_wise_and_inf_layer_wise():
    blocks, layers = prior_of(REMOVAL, 0.0), prior_of(REMOVAL, math.inf)
    np.testing.assert_array_equal(blocks.values["mlp"], REMOVAL["mlp"])
    np.testing.assert_array_equal(layers.values["mlp"], REMOVAL["layer"])
    np.testing.assert_array_equal(layers.values["attention"], REMOVAL["layer"])


def test_tau_zero_stays_block_wise_for_a_negative_layer():
    removal = REMOVAL | {"layer": np.array([3.0, -0.2, 0.4])}
    assert prior_of(removal, 0.0).layer_wise == []


@pytest.mark.parametrize("tau", TAUS)
def test_no_temperature_equals_no_prior(tau):
    facts = facts_of()
    plain, flat = table_of(facts), table_of(facts, prior=prior_of(REMOVAL, tau), method=PLAIN)
    pd.testing.assert_frame_equal(plain.drop(columns="prior"), flat.drop(columns="prior"))


def test_negative_deltas_are_clamped_and_reported():
    prior = prior_of(REMOVAL, 0.0)
    assert prior.negative() == [NegativeDelta(layer=1, block="attention", delta=-0.1)]
    assert [prior_weight(value, 1.0) for value in (-0.1, 0.0, 1.0)] == [0.0, 0.0, math.log(2)]


def test_saliency_that_is_not_finite_names_the_block():
    facts = facts_of()
    saliency = random_saliency(facts)
    saliency["1.mlp"][2] = np.nan
    with pytest.raises(NonFiniteError, match="saliency of the mlp of layer 1"):
        build_table(facts.blocks, saliency, None, PLAIN)
