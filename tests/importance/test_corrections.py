"""Corrections: each against its formula, and what they may not change."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prunescope.config.sections import Corrections, Method
from prunescope.importance.corrections import NORMALIZE, ZSCORE_FLOOR, correct, depth_weight, raise_to_powers
from prunescope.importance.table import build_table
from toy import facts_of, random_saliency

FACTS = facts_of(layers=3, kv_groups=4, channels=50)
METHOD = Method()

saliencies = arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1e6, allow_subnormal=False))


def measured(seed=0):
    saliency = random_saliency(FACTS, seed)
    return [saliency[f"{block.layer}.{block.block}"] for block in FACTS.blocks]


def naive(kind, values):
    """The formula of each normalisation, element by element."""
    mean = sum(values) / len(values)
    std = math.sqrt(sum((x - mean) ** 2 for x in values) / len(values))
    lowest, highest = min(values), max(values)
    return [
        {
            "log": lambda x: math.log(1 + x / mean),
            "sqrt": lambda x: math.sqrt(x / mean),
            "minmax": lambda x: (x - lowest) / (highest - lowest),
            "zscore": lambda x: (x - mean) / std - (lowest - mean) / std + ZSCORE_FLOOR,
        }[kind](x)
        for x in values
    ]


@pytest.mark.parametrize("kind", NORMALIZE)
def test_each_normalisation_equals_its_formula_per_block(kind):
    for block, saliency, corrected in zip(
        FACTS.blocks, measured(), correct(FACTS.blocks, measured(), Corrections(normalize=kind)), strict=True
    ):
        np.testing.assert_allclose(corrected, naive(kind, (saliency / block.cost).tolist()), rtol=1e-9)


@pytest.mark.parametrize("kind", NORMALIZE)
def test_the_scope_of_a_layer_holds_attention_and_mlp_together(kind):
    saliency = measured()
    corrected = correct(FACTS.blocks, saliency, Corrections(normalize=kind, scope="layer"))
    for attention in range(0, len(FACTS.blocks), 2):
        pair = slice(attention, attention + 2)
        together = [x / b.cost for b, values in zip(FACTS.blocks[pair], saliency[pair], strict=True) for x in values]
        np.testing.assert_allclose(np.concatenate(corrected[pair]), naive(kind, together), rtol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(NORMALIZE)), saliencies)
def test_normalisation_keeps_the_order_and_stays_finite(kind, values):
    scaled = NORMALIZE[kind](values)
    order = np.argsort(values, kind="stable")
    assert np.isfinite(scaled).all() and (scaled >= 0).all()
    assert (np.diff(scaled[order]) >= 0).all()
    far_apart = np.diff(values[order]) > 1e-6 * values.max(initial=1)
    assert (np.diff(scaled[order])[far_apart] > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["block", "layer"]), st.none() | st.just((5, 95)), st.booleans(), st.integers(0, 5))
@pytest.mark.parametrize("kind", [None, *NORMALIZE])
def test_all_corrections_together_keep_the_order_within_a_block(kind, scope, clip, mean, seed):
    corrections = Corrections(normalize=kind, scope=scope, clip=clip, mean=mean, depth_weight=0.5)
    for saliency, corrected in zip(measured(seed), correct(FACTS.blocks, measured(seed), corrections), strict=True):
        assert (np.diff(corrected[np.argsort(saliency)]) >= 0).all()


@pytest.mark.parametrize("kind", ["minmax", "zscore"])
def test_a_constant_block_is_not_simply_removed_first(kind):
    assert NORMALIZE[kind](np.full(7, 0.1)).tolist() == [1.0] * 7
    assert NORMALIZE[kind](np.array([3.0])).tolist() == [1.0]


def test_zscore_of_tiny_saliencies_does_not_underflow():
    np.testing.assert_allclose(NORMALIZE["zscore"](np.array([1e-250, 2e-250])), [ZSCORE_FLOOR, 2 + ZSCORE_FLOOR])


@pytest.mark.parametrize("kind", NORMALIZE)
def test_block_normalisations_do_not_depend_on_the_scale(kind):
    """Else they would keep the order between blocks too, and change nothing."""
    values = np.random.default_rng(0).lognormal(0, 2, 40)
    np.testing.assert_allclose(NORMALIZE[kind](values), NORMALIZE[kind](1000 * values))


def test_clip_bounds_saliency_per_parameter_before_anything_else():
    values = np.arange(101.0)
    block = facts_of(layers=1, kv_groups=1, channels=101).blocks[1]
    clipped = correct((block,), [values * block.cost], Corrections(clip=(5, 90)))[0]
    np.testing.assert_allclose(clipped, np.clip(values, 5, 90))
    together = correct((block,), [values * block.cost], Corrections(clip=(5, 90), normalize="minmax", mean=True))[0]
    scaled = (np.clip(values, 5, 90) - 5) / 85
    np.testing.assert_allclose(together, scaled / scaled.mean())


def test_mean_brings_every_block_to_one_scale():
    corrected = correct(FACTS.blocks, measured(), Corrections(mean=True))
    np.testing.assert_allclose([values.mean() for values in corrected], 1)
    silent = correct(FACTS.blocks, [np.zeros_like(values) for values in measured()], Corrections(mean=True))
    assert not np.concatenate(silent).any()


def test_depth_weight_falls_from_the_first_layer_on():
    np.testing.assert_allclose(depth_weight(np.arange(4), 4, 0.5), [1.5, 1.375, 1.25, 1.125])
    plain = build_table(FACTS.blocks, random_saliency(FACTS), None, METHOD)
    deep = build_table(FACTS.blocks, random_saliency(FACTS), None, METHOD, Corrections(depth_weight=1.0))
    np.testing.assert_allclose(deep.score / plain.score, 1 + (1 - plain.layer / 3))


def naive_powers(blocks, power, block_power):
    """The formula of both powers, element by element."""
    means = [sum(values) / len(values) for values in blocks]
    scale = sum(means) / len(means)
    return [
        [scale * (mean / scale) ** block_power * (x / mean) ** power for x in values]
        for values, mean in zip(blocks, means, strict=True)
    ]


@pytest.mark.parametrize(("power", "block_power"), [(0.5, 1), (1, 0.3), (2, 0), (1.7, 2.5)])
def test_powers_equal_their_formula(power, block_power):
    corrected = correct(FACTS.blocks, measured(), Corrections(power=power, block_power=block_power))
    densities = [(values / block.cost).tolist() for block, values in zip(FACTS.blocks, measured(), strict=True)]
    for found, expected in zip(corrected, naive_powers(densities, power, block_power), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_no_power_of_the_mean_is_one_scale():
    np.testing.assert_allclose(
        np.concatenate(correct(FACTS.blocks, measured(), Corrections(block_power=0))) / np.concatenate(
            correct(FACTS.blocks, measured(), Corrections(mean=True))
        ),
        np.mean([(values / block.cost).mean() for block, values in zip(FACTS.blocks, measured(), strict=True)]),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(saliencies, min_size=6, max_size=6), st.floats(0.01, 4), st.floats(0, 4))
def test_powers_keep_the_order_of_a_block_and_stay_finite(values, power, block_power):
    blocks = [one * scale for one, scale in zip(values, (1e-30, 1e-9, 1, 1, 1e9, 1e30), strict=True)]
    for before, after in zip(blocks, raise_to_powers(blocks, power, block_power), strict=True):
        assert np.isfinite(after).all() and (after >= 0).all()
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()
        assert not after[before == 0].any()


def test_attention_weight_multiplies_the_scores_of_attention_alone():
    plain = build_table(FACTS.blocks, random_saliency(FACTS), None, METHOD)
    weighed = build_table(FACTS.blocks, random_saliency(FACTS), None, METHOD, Corrections(attention_weight=3))
    np.testing.assert_allclose(weighed.score / plain.score, np.where(plain.block == "attention", 3, 1))


def test_corrections_that_are_off_change_nothing():
    saliency = random_saliency(FACTS)
    plain = build_table(FACTS.blocks, saliency, None, METHOD)
    pd.testing.assert_frame_equal(plain, build_table(FACTS.blocks, saliency, None, METHOD, Corrections()))
    np.testing.assert_array_equal(plain.score, plain.saliency / plain.cost)


def test_the_table_keeps_the_measured_saliency():
    saliency = random_saliency(FACTS)
    corrections = Corrections(normalize="log", clip=(5, 95), mean=True, depth_weight=1.0)
    table = build_table(FACTS.blocks, saliency, None, METHOD, corrections)
    np.testing.assert_array_equal(table.saliency, np.concatenate(measured()))
    assert not np.allclose(table.score, table.saliency / table.cost)


def test_log_does_not_favour_the_block_of_smaller_groups():
    """The same saliency per parameter in attention and MLP: neither goes first, whatever the group costs."""
    facts = facts_of(layers=1, kv_groups=8, channels=8, attention_cost=4000, channel_cost=3)
    density = np.arange(1.0, 9)
    for kind in NORMALIZE:
        attention, mlp = correct(
            facts.blocks, [density * block.cost for block in facts.blocks], Corrections(normalize=kind)
        )
        np.testing.assert_allclose(attention, mlp)
