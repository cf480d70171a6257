"""Names taken apart and rebuilt; remedies that are new, reachable and parse under the grammar."""

import math
from itertools import product

import pytest
from diagnosis_data import make_evidence, with_values

from prunescope.config import parse_config, resolve
from prunescope.config.names import parse_name
from prunescope.config.sections import Calibration, Diagnosis, EarlyLayers, Limits, Method, Settings
from prunescope.diagnosis.inputs import Bound
from prunescope.diagnosis.measures import measure
from prunescope.diagnosis.naming import known_name, rename
from prunescope.diagnosis.remedies import CHANGES, Context, Situation, suggest
from prunescope.diagnosis.texts import ENGLISH

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
    assert rename(known_name("taylor_T0_20_wiki"), {"gradients": {"dtype": "float32"}}) is None


@pytest.mark.parametrize(("code", "name"), product(CHANGES, NAMES))
def test_every_suggested_name_resolves_and_contains_its_patch(code, name):
    config = parse_config(
        {
            "models": {"m": {"hub": "org/m"}},
            "datasets": {d: {"hub": "x"} for d in ("wiki", "c4", "wikitext2", "my-texts")},
        }
    )
    for remedy in suggest(code, situation(name, mlp=with_values({2: 0.99}))):
        if remedy.experiment is None:
            assert remedy.kind == "full_precision"
            continue
        assert remedy.experiment != name
        assert remedy.command == f"snakemake --cores all results/m/{remedy.experiment}"
        declared = resolve(config, "m", remedy.experiment).settings.model_dump()
        for section, values in remedy.patch.items():
            for key, value in values.items():
                found = declared[section][key]
                assert found == value or value.items() <= found.items()


def test_what_is_in_force_is_not_suggested():
    assert kinds("early_layers_extreme", situation("taylor_T0_20_wiki")) == [
        "cap_early", "block_correction", "cap_rates",
    ]  # fmt: skip
    assert kinds("early_layers_extreme", situation("taylor_T1_20_wiki")) == ["cap_early", "cap_rates"]
    assert kinds("early_layers_extreme", situation("taylor_T1_20_wiki_early30")) == ["cap_rates"]
    assert kinds("early_layers_extreme", situation("taylor_T1_20_wiki_early30_max50")) == []
    assert kinds("early_layers_extreme", situation("taylor_T1_20_wiki_max25")) == []


def test_a_looser_limit_is_tightened():
    now = situation("taylor_T1_20_wiki_max80_early60")
    names = [remedy.experiment for remedy in suggest("early_layers_extreme", now)]
    assert names == ["taylor_T1_20_wiki_max80_early30", "taylor_T1_20_wiki_max50_early60"]


def test_a_limit_that_the_budget_cannot_meet_is_not_suggested():
    now = situation("taylor_T1_60_wiki")
    now.evidence.layers[["attention_removed", "mlp_removed"]] = 60.0
    crowded = Situation(now.context, now.evidence, measure(now.evidence, now.thresholds), now.thresholds)
    assert crowded.measures.rate == pytest.approx(0.6)
    assert kinds("many_extreme_layers", crowded) == []
    assert kinds("early_layers_extreme", crowded) == ["cap_early"]


def test_resolved_settings_say_what_the_name_does_not():
    settings = Settings(
        method=Method(temperature=1.0),
        limits=Limits(max_rate=0.5, early_layers=EarlyLayers()),
        calibration=Calibration(samples=32, seq_len=512),
    )
    assert kinds("early_layers_extreme", situation("my_best_run", settings)) == []
    (shorter,) = suggest("gradient_scale_gap", situation("taylor_T1_20_wiki", settings))
    assert (shorter.kind, shorter.experiment) == ("shorter_windows", "taylor_T1_20_wiki_s256")
    (more,) = suggest("gradient_spike", situation("my_best_run", settings))
    assert (more.patch, more.experiment, more.command) == ({"calibration": {"samples": 64}}, None, None)


def test_a_named_experiment_gets_only_the_patch():
    early, *_ = suggest("early_layers_extreme", situation("my_best_run"))
    assert (early.patch, early.experiment) == ({"limits": {"early_layers": {"max_rate": 0.3}}}, None)
    bound = (Bound("limits.max_rate", ("3.mlp",)), Bound("limits.early_layers.max_rate", ("1.mlp",)))
    assert suggest("early_layers_extreme", situation("my_best_run", bound=bound)) == ()


def test_windows_are_not_halved_below_the_shortest():
    assert "shorter_windows" in kinds("gradient_scale_gap", situation("taylor_T1_20_wiki_s256"))
    assert "shorter_windows" not in kinds("gradient_scale_gap", situation("taylor_T1_20_wiki_s128"))


def test_every_remedy_has_words():
    assert {change.__name__ for changes in CHANGES.values() for change in changes} == set(ENGLISH.remedies)
    assert set(CHANGES) <= set(ENGLISH.findings)
