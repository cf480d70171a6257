"""The grammar of experiment names, and the sentence that a wrong one gets."""

import math
from pathlib import Path

import pytest
import yaml

from prunescope.config.names import rename, split_name
from prunescope.config.patches import merge
from prunescope.config.resolve import load_config, parse_config, resolve
from prunescope.errors import ConfigError

CONFIG = load_config()


def settings_of(name, model="SmolLM2-135M"):
    return resolve(CONFIG, model, name).settings


def test_a_name_declares_the_experiment():
    settings = settings_of("taylor_2nd_T0.5_tauinf_12.5_hansard_s256_n64_seed3_max50_early30_w64")
    assert settings.method.criterion == "taylor_2nd"
    assert settings.method.temperature == 0.5
    assert settings.method.tau == math.inf
    assert settings.method.ratio == 0.125
    assert (settings.calibration.seq_len, settings.calibration.samples, settings.calibration.seed) == (256, 64, 3)
    assert settings.limits.max_rate == 0.5
    assert (settings.limits.early_layers.count, settings.limits.early_layers.max_rate) == (5, 0.3)
    assert settings.limits.width_multiple == 64
    assert (settings.limits.widths, settings_of("gate_T0_20_wiki_uniform").limits.widths) == ("free", "uniform")
    corrected = settings_of("gate_T0_20_wiki_share_sim_log_clip5_depth50_min5_attn30_mlp60_collapse20_mean")
    assert (corrected.method.combine, corrected.method.prior) == ("share", "similarity")
    assert corrected.corrections.model_dump() == {
        "normalize": "log", "scope": "block", "clip": (5, 95), "mean": True, "depth_weight": 0.5, "attention_weight": 1,
        "power": 1, "block_power": 1,
    }  # fmt: skip
    assert (corrected.limits.min_rate, corrected.limits.collapse_below) == (0.05, 0.2)
    assert (corrected.limits.attention.max_rate, corrected.limits.mlp.max_rate) == (0.3, 0.6)
    assert resolve(CONFIG, "SmolLM2-135M", "taylor_T0_20_hansard").dataset == "hansard"
    repaired = settings_of("gate_T0_20_wiki_refit_scales_recover_cekl_projections")
    assert repaired.repair.refit.enabled and repaired.repair.scales.enabled
    assert (repaired.recovery.enabled, repaired.recovery.loss, repaired.recovery.train) == (
        True,
        "ce_kl",
        "projections",
    )


def test_a_word_about_recovery_needs_recovery():
    for word in ("kl", "cekl", "projections"):
        said = rf"{word} is about recover; write gate_T0_20_wiki_max50_recover_{word}"
        with pytest.raises(ConfigError, match=said):
            settings_of(f"gate_T0_20_wiki_max50_{word}")
    name = split_name("gate_T0_20_wiki")
    assert rename(name, {"recovery": {"loss": "kl"}}) is None
    assert str(rename(name, {"recovery": {"loss": "kl", "enabled": True}})) == "gate_T0_20_wiki_kl_recover"


def test_a_name_leaves_the_settings_to_a_search():
    settings = settings_of("auto_20_wiki_max50_power0.5_trials32")
    assert settings.method.searched and settings.method.needs_prior
    assert (settings.method.ratio, settings.limits.max_rate, settings.corrections.power) == (0.2, 0.5, 0.5)
    assert settings.search.trials == 32
    found = {"method": {"criterion": "gate", "temperature": 0.3}, "corrections": {"attention_weight": 1.41}}
    plain = str(rename(split_name("auto_20_wiki_n64"), found))
    assert plain == "gate_T0.3_20_wiki_n64_balance1.41"
    assert str(rename(split_name(plain), {"method": {"criterion": "auto"}})) == "auto_20_wiki_n64_balance1.41"
    assert rename(split_name("auto_20_wiki"), {"method": {"temperature": 1.0}}) is None
    with pytest.raises(ConfigError, match="no criterion is scored that a search can use; add one of taylor"):
        resolve(parse_config(merge(RAW, {"gradients": {"criteria": ["shortgpt"]}})), "SmolLM2-135M", "auto_20_wiki")


@pytest.mark.parametrize(("name", "tau"), [("taylor_T1_20_c4", 0), ("taylor_T1_tauauto_20_c4", "auto")])
def test_tau(name, tau):
    assert settings_of(name, "Mistral-7B-v0.3").method.tau == tau


def test_precedence_is_top_level_model_name_named_experiment():
    assert settings_of("taylor_T0_20_wiki").calibration.samples == 32  # the model's
    assert settings_of("taylor_T0_20_c4", "Mistral-7B-v0.3").calibration.samples == 128  # the top level's
    assert settings_of("taylor_T0_20_wiki_n7").calibration.samples == 7  # the name's
    guarded = settings_of("guarded")
    assert guarded.limits.protect == (0,)
    assert guarded.method.ratio == 0.2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tailor_T1_20_wiki", "unknown criterion 'tailor' .* did you mean 'taylor_T1_20_wiki'"),
        ("taylor_T1_20_wikki", "unknown dataset 'wikki' .* did you mean 'taylor_T1_20_wiki'.*config/config.yaml"),
        ("taylor_T1_120_wiki", r"method\.ratio = 1\.2: must be a number greater than 0 and less than 1"),
        ("taylor_T1_0_wiki", r"method\.ratio = 0\.0: must be a number greater than 0 and less than 1"),
        ("taylor_T1_tau-1_20_wiki", r"method\.tau = -1\.0: must be a number at least 0, or inf or auto"),
        ("taylor_T-1_20_wiki", r"method\.temperature = -1\.0: must be a number at least 0"),
        ("taylor_T0_20_wiki_s9000", r"calibration\.seq_len = 9000: longer than the model's window; allowed: 8 to 8192"),
        ("taylor_T0_20_wiki_s4", r"calibration\.seq_len = 4: must be a whole number at least 8"),
        ("taylor_T0_20_wiki_q3", "unknown option 'q3' .* s256"),
        ("taylor_20_wiki", r"unknown experiment 'taylor_20_wiki'; .*guarded.*taylor_T1_tau0_20_c4"),
        ("taylor_T0_20_wiki_s64_s128", r"sets calibration\.seq_len twice"),
        ("taylor_T0_20_wiki_log_sqrt", r"sets corrections\.normalize twice"),
        ("taylor_T0_20_wiki_max10", r"method\.ratio = 0\.2 cannot be reached under limits\.max_rate = 0\.1"),
        ("taylor_T0_0.2_wiki", r"0\.2 would be a percentage, less than 1 %; did you mean taylor_T0_20_wiki\?"),
        ("taylor_T0_20_wiki_max0.5", r"0\.5 would be a percentage, less than 1 %; did you mean max50\?"),
        (
            "shortgpt_T0_20_wiki_mean",
            r"corrections\.mean = true makes all layers equal under method\.criterion = shortgpt",
        ),
        ("shortgpt_T0_20_wiki_log", r"corrections\.normalize = log makes all layers equal"),
        ("gate_T0_20_wiki_uniform_protect0", r"limits: widths = uniform keeps the same in all layers, and protect "),
        ("gate_T0_20_wiki_uniform_early30", "and early_layers treats some otherwise: drop one of them"),
        ("gate_T0_20_wiki_collapse20_uniform", "and collapse_below treats some otherwise"),
        ("shortgpt_T0_20_wiki_uniform", "limits.widths = uniform narrows all layers alike, and method.criterion = sho"),
        ("guardet", "unknown experiment 'guardet'; did you mean 'guarded'"),
        ("taylor_T1x_20_wiki", "is not an experiment name; expected"),
        ("auto_T1_tau0_20_wiki", "auto has no T and no tau, since the search finds both; write auto_20_wiki"),
        ("auto_20_wikki", "unknown dataset 'wikki' in 'auto_20_wikki'; did you mean 'auto_20_wiki'"),
        ("auto_20", "'auto_20' is not an experiment name; expected .* or auto_"),
        ("auto_20_wiki_balance0", r"corrections\.attention_weight = 0\.0: must be a number at least 0\.001"),
        ("taylor_T0_20_wiki_power9", r"corrections\.power = 9\.0: must be a number greater than 0 and at most 4"),
    ],
)
def test_a_wrong_name_gets_one_sentence(name, said):
    with pytest.raises(ConfigError, match=said) as caught:
        resolve(CONFIG, "SmolLM2-135M", name)
    assert "\n" not in str(caught.value)


def test_the_order_of_layers_survives_other_corrections_of_shortgpt():
    assert settings_of("shortgpt_T0_20_wiki_sqrt_clip5_depth50").corrections.normalize == "sqrt"


def test_unknown_model():
    with pytest.raises(ConfigError, match=r"unknown model 'Mistral-7B'; did you mean 'Mistral-7B-v0\.3'"):
        resolve(CONFIG, "Mistral-7B", "taylor_T0_20_c4")


RAW = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limits": {"max_rat": 1}}, r"unknown key 'limits\.max_rat'; did you mean 'max_rate'"),
        ({"lmits": {}}, "unknown key 'lmits'; did you mean 'limits'"),
        ({"limits": {"max_rate": 3}}, r"limits\.max_rate = 3: must be a number at least 0 and at most 1"),
        ({"gradients": {"dtype": "fp16"}}, r"gradients\.dtype = 'fp16': allowed: auto, float32, bfloat16"),
        ({"gradients": {"criteria": ["tayler"]}}, r"gradients\.criteria\.0 = 'tayler': allowed: taylor, taylor_2nd"),
        ({"models": {"x": {"hubb": "a"}}}, r"unknown key 'models\.x\.hubb'; did you mean 'hub'"),
        ({"models": {"x": {}}}, r"models\.x: needs one of embedded, hub or path"),
        ({"models": {"x": {"hub": "a", "settings": {"method": {"tau": "b"}}}}}, r"models\.x\.settings: method\.tau"),
        ({"datasets": {"q": {}}}, r"datasets\.q: needs exactly one of embedded, hub, local or mixture"),
        ({"datasets": {"my_text": {"local": "a"}}}, "datasets.*my_text.*a name may hold only"),
        ({"evaluation": {"protocols": 5}}, r"evaluation\.protocols = 5: must be a list"),
        ({"evaluation": {"protocols": ["512"]}}, r"evaluation\.protocols\.0 = '512': must look like w512 .* w2048s512"),
        ({"evaluation": {"protocols": ["w4"]}}, r"evaluation\.protocols\.0 = 'w4': .* at least 8 tokens"),
        ({"evaluation": {"protocols": ["w8", "w16s16"]}}, r"evaluation\.protocols\.1 = 'w16s16': must look like"),
        ({"evaluation": {"windows": [128]}}, r"evaluation: `windows` is called `protocols` now: write \[w128, w512\]"),
        (
            {"models": {"x": {"hub": "a", "settings": {"evaluation": {"windows": [128]}}}}},
            r"models\.x\.settings: evaluation: `windows` is called `protocols` now",
        ),
        ({"corrections": {"clip": [95, 5]}}, r"corrections\.clip.* the first percentile must be below the second"),
        ({"limits": None}, "limits = None: must be a section with keys among min_rate, max_rate"),
        ({"diagnosis": {"scale_ratio": float("inf")}}, r"diagnosis\.scale_ratio = inf: must be a number"),
        (
            {"experiments": {"bad": {"base": "taylor_T9_20_nosuch"}}},
            r"experiments\.bad\.base: unknown dataset 'nosuch'",
        ),
        ({"datasets": {"q": {"local": "texts/**.txt"}}}, r"q\.local = 'texts/\*\*\.txt': .* alone between slashes"),
        (
            {"experiments": {"bad": {"base": "taylor_T0_20_c4", "settings": {"limits": {"max_rate": 7}}}}},
            r"experiments\.bad\.settings: limits\.max_rate = 7: must be a number at least 0 and at most 1",
        ),
        ({"targets": ["SmolLM2-135M"]}, "targets: 'SmolLM2-135M' must be"),
    ],
)
def test_a_wrong_configuration_gets_one_sentence(change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config(merge(RAW, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"models": {"x": {"hub": "a"}}, "datasets": {"c4": {"hub": None, "local": "/nowhere/*.txt"}}},
            r"datasets\.c4\.local = '/nowhere/\*\.txt': matches no \.txt",
        ),
        (
            {"models": {"x": {"hub": "a"}}, "datasets": {"c4": {"hub": None, "mixture": {"wiki": 1, "wikki": 1}}}},
            r"datasets\.c4\.mixture: 'wikki' is not a text; did you mean 'wiki'",
        ),
        ({"models": {"x": {"path": "/nowhere"}}}, r"models\.x\.path = '/nowhere': no config\.json there"),
        (
            {"models": {"x": {"hub": "a"}}, "evaluation": {"datasets": ["wikki"]}},
            "evaluation.datasets: unknown dataset 'wikki'; did you mean 'wiki'",
        ),
        (
            {"models": {"x": {"hub": "a"}}, "evaluation": {"max_tokens": 100}},
            r"evaluation\.max_tokens = 100: less than one window of 1024",
        ),
        (
            {"models": {"x": {"hub": "a", "context": 2048}}, "evaluation": {"protocols": ["w128", "w4096s512"]}},
            r"evaluation\.protocols: window = 4096: longer than the model's window; allowed: 8 to 2048",
        ),
        (
            {"models": {"x": {"hub": "a"}}, "evaluation": {"zeroshot": {"task_dir": "/nowhere"}}},
            r"evaluation\.zeroshot\.task_dir = '/nowhere': no such folder",
        ),
        (
            {"models": {"x": {"hub": "a", "context": 1024}}, "evaluation": {"efficiency": {"prompt": 1000}}},
            r"evaluation\.efficiency: prompt \+ generate = 1064: longer than the model's window",
        ),
        (
            {"models": {"x": {"hub": "a"}}, "gradients": {"criteria": ["magnitude"]}},
            r"gradients\.criteria .* does not contain the experiment's criterion 'taylor'",
        ),
        (
            {"models": {"x": {"hub": "a"}}, "gradients": {"mode": "stream"}},
            r"gradients\.mode = stream cannot score 'taylor'; allowed criteria: taylor_stream, gate, wanda",
        ),
    ],
)
def test_what_spans_sections_is_checked_when_an_experiment_is_resolved(change, said):
    config = parse_config(merge(RAW, change))
    with pytest.raises(ConfigError, match=said):
        resolve(config, "x", "taylor_T0_20_c4")
