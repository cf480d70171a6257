"""Names taken apart and rebuilt; remedies that are new, reachable and parse under the grammar."""

import math
from dataclasses import replace
from itertools import product

import pytest

from diagnosis_data import make_evidence, with_values
from prunescope.artifacts.summary import BoundLimit
from prunescope.config.names import known_name, parse_name, rename
from prunescope.config.patches import leaves
from prunescope.config.resolve import parse_config, resolve
from prunescope.config.sections import Calibration, Corrections, Diagnosis, EarlyLayers, Limits, Method, Settings
from prunescope.diagnosis.evidence import Texts, table_blocks
from prunescope.diagnosis.findings import exhausted, suggest
from prunescope.diagnosis.measures import measure
from prunescope.diagnosis.rules import RULES, observe
from prunescope.diagnosis.situation import Context, Situation
from prunescope.errors import BudgetError
from prunescope.importance.selection import select
from prunescope.importance.table import build_table
from toy import facts_of, random_saliency

NAMES = (
    "taylor_T0_20_wiki",
    "taylor_T1_tau0_20_c4",
    "taylor_2nd_T0.5_tauinf_12.5_wikitext2_s256_n64_seed3",
    "magnitude_T1_tauauto_30_my-texts_max50_early30_w64",
)


def situation(name, settings=None, **evidence) -> Situation:
    found, thresholds = make_evidence(**evidence), Diagnosis()
    return Situation(Context("m", name, settings), found, measure(found, thresholds), thresholds)


def kinds(code, now):
    return [remedy.kind for remedy in suggest(code, now)]


@pytest.mark.parametrize("text", NAMES)
def test_an_unchanged_name_is_rebuilt_as_it_was(text):
    name = known_name(text)
    assert str(name) == text
    assert str(rename(name, {})) == text


@pytest.mark.parametrize("text", ["my_best_run", "tailor_T0_20_wiki", "taylor_T0_20_wiki_huge", ""])
def test_a_name_outside_the_grammar_has_no_parts(text):
    assert known_name(text) is None


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"method": {"temperature": 1.0, "tau": 0.0}}, "taylor_T1_tau0_20_wiki_max60"),
        ({"method": {"tau": "inf"}}, "taylor_T0_tauinf_20_wiki_max60"),
        ({"method": {"ratio": 0.125}}, "taylor_T0_12.5_wiki_max60"),
        ({"limits": {"max_rate": 0.5}}, "taylor_T0_20_wiki_max50"),
        ({"limits": {"early_layers": {"max_rate": 0.3}}}, "taylor_T0_20_wiki_max60_early30"),
        ({"limits": {"width_multiple": 64}}, "taylor_T0_20_wiki_max60_w64"),
        (
            {"calibration": {"seq_len": 256, "samples": 64, "seed": 1}},
            "taylor_T0_20_wiki_max60_s256_n64_seed1",
        ),
    ],
)
def test_a_changed_name_declares_the_change(patch, expected):
    changed = rename(known_name("taylor_T0_20_wiki_max60"), patch)
    assert str(changed) == expected
    dataset, settings = parse_name(expected, ["wiki"])
    assert dataset == "wiki"
    for section, values in patch.items():
        assert values.items() <= settings[section].items()


def test_an_infinite_tau_is_spelled_as_the_grammar_wants():
    assert str(rename(known_name("taylor_T1_20_wiki"), {"method": {"tau": math.inf}})) == "taylor_T1_tauinf_20_wiki"


def test_what_the_grammar_cannot_say_has_no_name():
    name = known_name("taylor_T0_20_wiki")
    assert rename(name, {"gradients": {"dtype": "bfloat16"}}) is None
    assert rename(name, {"limits": {"protect": [0, -1]}}) is None


@pytest.mark.parametrize(("code", "name"), product(RULES, NAMES))
def test_every_suggested_name_resolves_and_contains_its_patch(code, name):
    config = parse_config(
        {
            "models": {"m": {"hub": "org/m"}},
            "datasets": {d: {"hub": "x"} for d in ("wiki", "c4", "wikitext2", "my-texts")},
        }
    )
    for remedy in suggest(code, situation(name, mlp=with_values({2: 0.99}))):
        assert remedy.experiment != name
        assert remedy.command == f"snakemake --cores all results/m/{remedy.experiment}"
        resolved = resolve(config, "m", remedy.experiment)
        declared = dict(leaves(resolved.settings.model_dump())) | {"dataset": resolved.dataset}
        for path, value in leaves(remedy.patch):
            assert declared[path] == (tuple(value) if isinstance(value, list) else value)


def test_what_is_in_force_is_not_suggested():
    rest = ["depth_weight", "lower_ratio"]
    assert kinds("early_layers_extreme", situation("taylor_T0_20_wiki")) == [
        "cap_early", "block_correction", "cap_rates", "share", *rest,
    ]  # fmt: skip
    for name, expected in {
        "taylor_T1_20_wiki": ["cap_early", "cap_rates", "share", *rest],
        "taylor_T1_20_wiki_early30": ["cap_rates", "share", *rest],
        "taylor_T1_20_wiki_early30_max50_share": rest,
        "taylor_T0_20_wiki_max25_share": rest,
        "taylor_T1_20_wiki_max25_share_depth50": ["lower_ratio"],
    }.items():
        assert kinds("early_layers_extreme", situation(name)) == expected


@pytest.mark.parametrize(
    ("code", "kind", "option"),
    [
        ("gradient_scale_gap", "normalize_log", "log"),
        ("gradient_scale_gap", "normalize_log", "sqrt"),
        ("gradient_scale_gap", "block_correction", "share"),
        ("gradient_spike", "clip", "clip10"),
        ("score_scale_gap", "block_mean", "mean"),
        ("score_scale_gap", "share", "share"),
        ("early_layers_extreme", "depth_weight", "depth20"),
        ("many_extreme_layers", "collapse", "collapse10"),
        ("block_imbalance", "cap_attention", "attn40"),
        ("block_imbalance", "cap_attention", "max45"),
    ],
)
def test_an_option_in_force_silences_its_remedy(code, kind, option):
    assert kind in kinds(code, situation("taylor_T0_20_wiki", attention=0.6, mlp=with_values({2: 0.9}, 0.1)))
    now = situation(f"taylor_T0_20_wiki_{option}", attention=0.6, mlp=with_values({2: 0.9}, 0.1))
    assert kind not in kinds(code, now)


def test_a_looser_limit_is_tightened():
    now = situation("taylor_T1_20_wiki_max80_early60_share_depth50")
    names = [remedy.experiment for remedy in suggest("early_layers_extreme", now)]
    assert names == [
        "taylor_T1_20_wiki_max80_early30_share_depth50",
        "taylor_T1_20_wiki_max50_early60_share_depth50",
        "taylor_T1_15_wiki_max80_early60_share_depth50",
    ]


def test_a_limit_that_the_budget_cannot_meet_is_not_suggested():
    crowded = situation("taylor_T1_60_wiki_share", attention=0.6, mlp=0.6)
    assert crowded.measures.rate == pytest.approx(0.6)
    assert kinds("many_extreme_layers", crowded) == ["lower_ratio"]
    assert kinds("early_layers_extreme", crowded) == ["cap_early", "depth_weight", "protect", "lower_ratio"]


def test_the_summary_of_the_rates_says_which_limits_are_in_force():
    limits = Limits(max_rate=0.5, early_layers=EarlyLayers(max_rate=0.3))
    found = kinds("early_layers_extreme", situation("my_best_run", limits=limits, mlp=with_values({2: 0.99})))
    assert found == ["protect"]


def test_protected_layers_are_added_to_those_that_are():
    now = situation("my_best_run", limits=Limits(protect=(0, -1)), mlp=with_values({2: 0.99, 4: 0.6, 9: 0.9}))
    patch = next(remedy.patch for remedy in suggest("early_layers_extreme", now) if remedy.kind == "protect")
    assert patch == {"limits": {"protect": [0, -1, 2, 4]}}


def test_the_block_type_that_loses_more_is_capped():
    attention = situation("taylor_T0_20_wiki", attention=0.7, mlp=0.1)
    assert kinds("block_imbalance", attention) == ["share", "cap_attention", "block_mean"]
    mlp = situation("taylor_T0_20_wiki", attention=0.1, mlp=0.7)
    names = [remedy.experiment for remedy in suggest("block_imbalance", mlp)]
    assert names == ["taylor_T0_20_wiki_share", "taylor_T0_20_wiki_mlp50", "taylor_T0_20_wiki_mean"]


def test_only_blocks_that_keep_next_to_nothing_are_collapsed():
    name = "taylor_T1_20_wiki"
    assert "collapse" in kinds("many_extreme_layers", situation(name, mlp=with_values({2: 0.9})))
    assert "collapse" not in kinds("many_extreme_layers", situation(name, mlp=with_values({2: 1.0, 3: 0.79})))


def test_another_text_is_one_that_is_evaluated_on_but_not_calibrated_on():
    def names(name, texts):
        suggested = suggest("gradient_spike", situation(name, texts=texts))
        return [remedy.experiment for remedy in suggested if remedy.kind == "other_text"]

    assert names("taylor_T1_20_wiki_n8", Texts(("wiki",), ("wiki", "hansard"))) == ["taylor_T1_20_hansard_n8"]
    assert names("taylor_T1_20_mixed", Texts(("wiki", "hansard"), ("wiki", "hansard"))) == []
    assert names("taylor_T1_20_c4", Texts()) == ["taylor_T1_20_wikitext2"]
    assert names("taylor_T1_20_wiki_n8", Texts(("wiki",), ("copy", "c4"), {"copy": "source"})) == ["taylor_T1_20_c4_n8"]
    assert names("my_best_run", Texts(("wiki",), ("hansard",))) == []


def test_whole_layers_get_no_remedy_for_parts_of_blocks():
    now = situation("shortgpt_T0_20_wiki", mlp=with_values({2: 1.0}), attention=with_values({2: 1.0}))
    assert kinds("early_layers_extreme", now) == ["protect", "lower_ratio"]


def test_equal_layers_get_no_remedy_that_treats_some_otherwise():
    now = situation("taylor_T0_20_wiki_uniform", mlp=with_values({2: 1.0}), attention=with_values({2: 1.0}))
    assert kinds("early_layers_extreme", now) == ["block_correction", "share", "lower_ratio"]
    assert kinds("many_extreme_layers", now) == ["block_correction", "share", "lower_ratio"]
    assert suggest("early_layers_extreme", now)[0].experiment == "taylor_T1_tau0_20_wiki_uniform"


def test_blocks_of_equal_layers_are_not_ranked_against_one_another():
    gap = {"mean": with_values({2: 1e-6}, default=1.0), "scores": {"1.mlp": 1.0, "2.mlp": 1e-9}}
    free, equal = (
        {rule.code for rule, *_ in observe(situation(name, **gap))}
        for name in ("taylor_T0_20_wiki", "taylor_T0_20_wiki_uniform")
    )
    assert free - equal == {"gradient_scale_gap", "score_scale_gap"}


def test_what_is_suggested_is_not_trained():
    found = suggest("many_extreme_layers", situation("taylor_T0_20_wiki_recover"))
    assert found[0].experiment == "taylor_T0_20_wiki_max50"


def test_a_lower_ratio_is_a_quarter_less():
    (lower,) = suggest("limit_saturation", situation("taylor_T1_30_wiki_max35"))
    assert (lower.patch, lower.experiment) == ({"method": {"ratio": 0.225}}, "taylor_T1_22.5_wiki_max35")


def test_clipping_has_a_name_where_its_percentiles_mirror_each_other():
    name = known_name("taylor_T0_20_wiki")
    assert str(rename(name, {"corrections": {"clip": (5.0, 95.0)}})) == "taylor_T0_20_wiki_clip5"
    assert rename(name, {"corrections": {"clip": (5.0, 99.0)}}) is None


def test_resolved_settings_say_what_the_name_does_not():
    settings = Settings(
        method=Method(temperature=1.0, combine="share"),
        corrections=Corrections(normalize="sqrt", depth_weight=0.2),
        limits=Limits(max_rate=0.5, early_layers=EarlyLayers()),
        calibration=Calibration(samples=32, seq_len=512),
    )
    assert kinds("early_layers_extreme", situation("my_best_run", settings)) == ["lower_ratio"]
    shorter, other = suggest("gradient_scale_gap", situation("taylor_T1_20_wiki", settings))
    assert (shorter.kind, shorter.experiment) == ("shorter_windows", "taylor_T1_20_wiki_s256")
    assert (other.kind, other.experiment) == ("other_text", "taylor_T1_20_wikitext2")
    more, _clip = suggest("gradient_spike", situation("my_best_run", settings))
    assert (more.patch, more.experiment, more.command) == ({"calibration": {"samples": 64}}, None, None)


def test_a_named_experiment_gets_only_the_patch():
    early, *_ = suggest("early_layers_extreme", situation("my_best_run"))
    assert (early.patch, early.experiment) == ({"limits": {"early_layers": {"max_rate": 0.3}}}, None)
    limits = {"limits.max_rate": ["3.mlp"], "limits.early_layers": ["1.mlp"]}
    bound = tuple(BoundLimit(limit=limit, blocks=blocks) for limit, blocks in limits.items())
    assert suggest("early_layers_extreme", situation("my_best_run", bound=bound)) == ()


def test_windows_are_not_halved_below_the_shortest():
    assert "shorter_windows" in kinds("gradient_scale_gap", situation("taylor_T1_20_wiki_s256"))
    assert "shorter_windows" not in kinds("gradient_scale_gap", situation("taylor_T1_20_wiki_s128"))


def test_as_many_layers_are_capped_as_the_diagnosis_calls_early():
    thresholds, found = Diagnosis(early_layers=8), make_evidence(mlp=with_values({6: 0.99}))
    now = Situation(Context("m", "taylor_T0_20_wiki"), found, measure(found, thresholds), thresholds)
    early = suggest("early_layers_extreme", now)[0]
    assert early.patch == {"limits": {"early_layers": {"max_rate": 0.3, "count": 8}}}
    assert early.experiment == "taylor_T0_20_wiki_early30_first8"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("taylor_T0_20_wiki", ["more_samples", "clip", "other_text"]),
        ("wanda_T0_20_wiki", ["more_samples", "clip", "other_text"]),
        ("magnitude_T0_20_wiki", ["clip"]),
        ("magnitude_T1_20_wiki", ["more_samples", "clip", "other_text"]),
        ("magnitude_T0_20_wiki_share", ["more_samples", "clip", "other_text"]),
    ],
)
def test_other_text_is_suggested_only_where_text_decides(name, expected):
    assert kinds("importance_rate_inverted", situation(name)) == expected


def test_exhausted_is_what_was_tried_not_what_does_not_apply():
    assert exhausted("non_finite_gradient", situation("taylor_T0_20_wiki_fp32"))
    assert not exhausted("non_finite_gradient", situation("taylor_T0_20_wiki"))
    assert not exhausted("limit_bound", situation("taylor_T0_20_wiki"))
    assert not exhausted("block_imbalance", situation("shortgpt_T0_20_wiki", attention=0.9, mlp=0.1))


@pytest.mark.parametrize("rate", [0.15, 0.17, 0.18, 0.22, 0.3, 0.36])
@pytest.mark.parametrize("limits", [{"max_rate": 0.3}, {"max_rate": 0.5}, {"mlp": {"max_rate": 0.2}}])
def test_with_a_table_reachable_is_what_selection_can_do(rate, limits):
    """Few GQA groups and wide MLP units round a limit down: 30 % of three groups is none."""
    facts = facts_of(layers=4, kv_groups=3, channels=96, attention_cost=100, channel_cost=3, embedding=1)
    table = build_table(facts.blocks, random_saliency(facts, 0), None, Method())
    prunable = sum(block.parameters for block in facts.blocks)
    evidence = replace(make_evidence(count=4, attention=rate, mlp=rate), blocks=table_blocks(table))
    now = Situation(Context("m", "taylor_T0_20_wiki"), evidence, measure(evidence, Diagnosis()), Diagnosis())
    try:
        select(table, facts, rate * prunable / facts.total_parameters, Limits(**limits))
        possible = True
    except BudgetError:
        possible = False
    assert now.reachable({"limits": limits}) == possible
