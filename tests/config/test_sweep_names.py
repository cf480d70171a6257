"""Sweeps become experiment names that declare just what the sweep says."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from prunescope.config.names import OPTIONS
from prunescope.config.patches import merge
from prunescope.config.resolve import load_config, parse_config, resolve, settings_of
from prunescope.config.sections import Sweep
from prunescope.config.sweep_words import patch_of, setting_paths
from prunescope.config.sweeps import changes, declare, expand
from prunescope.errors import BudgetError, ConfigError
from prunescope.steps.planned import Planned
from prunescope.steps.registry import Registry, without_files

CONFIG = load_config()
RAW = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
MODEL, BASE = "SmolLM2-135M", "taylor_T0_20_wiki"


def with_sweep(model=MODEL, **sweep):
    return CONFIG.model_copy(update={"sweeps": {"x": Sweep(model=model, **sweep)}})


def names(**sweep):
    return list(expand(with_sweep(**sweep), "x", MODEL))


def test_a_product_is_every_combination():
    found = names(base=BASE, product={"ratio": [10, 12.5], "criterion": ["taylor", "gate"]})
    assert found == ["taylor_T0_10_wiki", "gate_T0_10_wiki", "taylor_T0_12.5_wiki", "gate_T0_12.5_wiki"]


def test_listed_experiments_come_first_and_once():
    assert names(experiments=["guarded", BASE], base=BASE, product={"ratio": [20, 30]}) == [
        "guarded", BASE, "taylor_T0_30_wiki",
    ]  # fmt: skip


def test_the_product_is_taken_of_every_variant():
    found = names(base=BASE, variants=[{}, {"T": 1, "tau": 0}], product={"ratio": [10, 20]})
    assert found == ["taylor_T0_10_wiki", BASE, "taylor_T1_tau0_10_wiki", "taylor_T1_tau0_20_wiki"]


def test_what_changes_nothing_is_one_experiment():
    assert names(base=BASE, product={"T": [0, 1], "tau": [0, "inf"]}) == [
        BASE, "taylor_T1_tau0_20_wiki", "taylor_T1_tauinf_20_wiki",
    ]  # fmt: skip
    # The embedded model calibrates on 128 tokens anyway.
    assert names(base=BASE, product={"seq_len": [128, 256]}) == [BASE, f"{BASE}_s256"]
    assert names(base="guarded", product={"limits.max_rate": [0.5]}) == ["guarded"]


@pytest.mark.parametrize(
    ("base", "change", "expected"),
    [
        (BASE + "_max50", {"max": None}, BASE),
        (BASE + "_max50", {"max": 30}, BASE + "_max30"),
        (BASE, {"limits.max_rate": 0.5}, BASE + "_max50"),
        (BASE, {"limits": {"max_rate": 0.5, "early_layers": {"max_rate": 0.3}}}, BASE + "_max50_early30"),
        (BASE, {"limits": {}}, BASE),
        (BASE, {"evaluation.efficiency": {}}, BASE + "__evaluation.efficiency-44136fa3"),
        (BASE + "_clip5", {"clip": None}, BASE),
        (BASE, {"clip": 5}, BASE + "_clip5"),
        (BASE, {"clip": [5, 95]}, BASE + "_clip5"),
        (BASE, {"clip": [5, 90]}, BASE + "__corrections.clip-5_90"),
        (BASE, {"share": False, "log": True}, BASE + "_log"),
        (BASE, {"combine": "share", "dataset": "hansard"}, "taylor_T0_20_hansard_share"),
        (BASE, {"limits": {"protect": [0, -1]}, "max": 50}, BASE + "_max50__limits.protect-0_-1"),
        (BASE, {"gradients.dtype": "float32"}, BASE + "_fp32"),
        (BASE, {"limits.early_layers": {"count": 3}}, BASE + "_first3"),
        ("guarded", {"ratio": 10}, "guarded__method.ratio-0.1"),
        ("guarded", {"dataset": "hansard"}, "guarded__dataset-hansard"),
    ],
)
def test_the_name_declares_the_settings(base, change, expected):
    patch = patch_of(change)
    name, declared = declare(CONFIG, MODEL, base, patch)
    assert name == expected
    extra = {name: declared} if declared else {}
    config = CONFIG.model_copy(update={"experiments": CONFIG.experiments | extra})
    experiment = resolve(config, MODEL, name)
    dataset = patch.pop("dataset", None)
    assert experiment.settings == settings_of(CONFIG, MODEL, base, patch)
    assert experiment.dataset == (dataset or "wiki")


def test_names_do_not_collide():
    patches = [
        {"gradients": {"dtype": "float32"}}, {"removal": {"dtype": "float32"}}, {"limits": {"protect": [0, 1]}},
        {"limits": {"protect": [0, -1]}}, {"limits": {"protect": [10]}}, {"gradients": {"criteria": ["taylor"]}},
        {"gradients": {"criteria": ["taylor", "taylor_2nd"]}}, {"corrections": {"clip": [1, 20]}},
        {"gradients": {"criteria": ["taylor", "taylor_2nd", "taylor_stream", "gate", "wanda"]}},
    ]  # fmt: skip
    made = [declare(CONFIG, MODEL, BASE, patch)[0] for patch in patches]
    assert len(set(made)) == len(patches)
    assert all(len(name) < 100 for name in made)


@pytest.mark.parametrize("sweep", CONFIG.sweeps)
def test_the_sweeps_of_the_configuration_can_be_run(sweep):
    declared = CONFIG.sweeps[sweep]
    planned = Registry(CONFIG).sweep(declared.model, sweep)
    assert not planned.impossible
    assert len(planned.members) == len(list(changes(declared)))
    assert declared.base in planned.members
    gradients = {member.tasks["gradients"].key for member in planned.planned.values()}
    assert len(gradients) == {"sequence_length": 3, "datasets": 3, "remedies": 2, "remedies_c4": 3}.get(sweep, 1)


def test_another_model_takes_the_sweep_as_a_path():
    (target,) = Registry(CONFIG).sweep_targets(["results/Mistral-7B-v0.3/comparison/criteria/"])
    assert [sweep.model for sweep in target.sweeps] == ["Mistral-7B-v0.3"]
    both = with_sweep(model=("Mistral-7B-v0.3", MODEL), base=BASE, product={"seq_len": [128, 512]})
    (target,) = Registry(both).sweep_targets(["sweep_x"])
    # What is the base already depends on the model's own settings.
    assert [sweep.members for sweep in target.sweeps] == [(f"{BASE}_s128", BASE), (BASE, f"{BASE}_s512")]


def test_an_impossible_experiment_does_not_stop_the_others():
    def check(planned: Planned) -> None:
        if planned.experiment.settings.method.ratio > 0.5:
            raise BudgetError(f"{MODEL}/{planned.experiment.name}: too much")

    registry = Registry(with_sweep(base=BASE, product={"ratio": [20, 60], "max": [None, 30, 10]}), check=check)
    sweep = registry.sweep(MODEL, "x")
    assert list(sweep.planned) == [BASE, f"{BASE}_max30"]
    assert sweep.impossible["taylor_T0_60_wiki"] == "too much"
    assert sweep.impossible[f"{BASE}_max10"].startswith("method.ratio = 0.2 cannot be reached under limits.max_rate")
    assert f"results/{MODEL}/comparison/x/{BASE}_max10.impossible" in sweep.files()
    assert sweep.spec().missing == sweep.impossible


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"product": {"ratoi": [10]}}, "'ratoi' is neither .*; did you mean 'ratio'"),
        ({"product": {"limits.max_rat": [1]}}, r"did you mean 'limits\.max_rate'"),
        ({"variants": [{"shared": True}]}, "did you mean 'share'"),
        ({"base": "tailor_T0_20_wiki"}, "unknown criterion 'tailor' .* did you mean 'taylor_T0_20_wiki'"),
        ({"experiments": ["guardet"]}, "unknown experiment 'guardet'; did you mean 'guarded'"),
        ({"model": "Mistral-7B"}, r"unknown model 'Mistral-7B'; did you mean 'Mistral-7B-v0\.3'"),
        ({"base": None, "product": {"ratio": [10]}}, "need a base"),
        ({"base": None}, "needs experiments, or a base"),
        ({"product": {"ratio": 10}}, r"sweeps\.x\.product\.ratio = 10: must be a list"),
        ({"product": {"ratio": []}}, "every list of the product needs a value"),
        ({"product": {"T": [1]}, "variants": [{"T": 0}]}, "T is in the variants and in the product"),
        ({"prodct": {}}, r"unknown key 'sweeps\.x\.prodct'; did you mean 'product'"),
    ],
)
def test_a_wrong_sweep_gets_one_sentence_when_the_configuration_is_read(sweep, said):
    content = merge(RAW, {"sweeps": {"x": {"model": MODEL, "base": BASE} | sweep}})
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"ratio": 0.2},
            r"ratio = 0\.2: must be a percentage, as in names \(20\); a fraction is 'method\.ratio: 0\.2'",
        ),
        ({"max": "50"}, "max = '50': must be a percentage"),
        ({"ratio": 120}, r"method\.ratio = 1\.2: must be a number greater than 0 and less than 1"),
        ({"criterion": "tayler"}, r"method\.criterion = 'tayler': allowed: taylor, taylor_2nd"),
        ({"dataset": "wikki"}, "unknown dataset 'wikki'; did you mean 'wiki'"),
        ({"dataset": ["wiki"]}, r"unknown dataset \['wiki'\]; did you mean 'wiki'"),
        ({"limits": {"max_rat": 1}}, r"unknown key 'limits\.max_rat'; did you mean 'max_rate'"),
        ({"share": 1}, "share = 1: must be true, or false"),
        ({"ratio": 20, "method.ratio": 0.3}, r"sets method\.ratio, which another change sets too"),
        ({"max": 20, "limits": {"max_rate": 0.2}}, "which another change sets too"),
    ],
)
def test_a_wrong_value_gets_one_sentence_when_the_sweep_is_asked_for(change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        names(base=BASE, variants=[change])
    assert str(caught.value).startswith("sweeps.x: ")
    assert "\n" not in str(caught.value)


def test_a_ratio_below_one_percent_is_a_setting_and_no_part_of_a_name():
    ((name, experiment),) = expand(with_sweep(base=BASE, product={"method.ratio": [0.005]}), "x", MODEL).items()
    assert name == f"{BASE}__method.ratio-0.005"
    assert experiment.settings == {"method": {"ratio": 0.005}}


def test_files_of_options_are_no_targets():
    arguments = ["--report", "results/report.html", "--cores", "2", f"results/{MODEL}/{BASE}"]
    assert [target.planned.experiment.name for target in Registry(CONFIG).targets(without_files(arguments))] == [BASE]


def test_comparison_is_no_experiment():
    with pytest.raises(ConfigError, match=r"results/\{model\}/comparison holds sweeps; choose another name"):
        parse_config(merge(RAW, {"experiments": {"comparison": {"base": BASE}}}))
    assert Registry(CONFIG).targets([f"results/{MODEL}/comparison/criteria"]) == []


def test_every_setting_has_a_path_and_every_option_a_setting():
    paths = set(setting_paths())
    assert {"limits", "limits.early_layers.max_rate", "calibration.samples", "limits.attention.max_rate"} < paths
    assert {option.path for option in OPTIONS} < paths


def test_a_sweep_that_is_not_asked_for_is_not_expanded(monkeypatch):
    monkeypatch.setattr("prunescope.steps.registry.expand", lambda *_: pytest.fail("expanded"))
    registry = Registry(CONFIG)
    registry.targets([f"results/{MODEL}/{BASE}"])
    assert registry.sweep_targets([f"results/{MODEL}/{BASE}", "--cores", "sweep_x.yaml"]) == []


def test_neither_torch_nor_pandas_is_imported_to_expand_a_sweep():
    code = (
        "import sys; import prunescope.runs.failures, prunescope.reporting.captions, prunescope.runs.estimates; "
        "from prunescope.config.resolve import load_config; "
        "from prunescope.steps.registry import Registry; "
        f"r = Registry(load_config()); print(len(r.sweep('{MODEL}', 'remedies').members)); "
        "sys.exit(bool({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 9


def test_words_say_what_names_say():
    for option, value in itertools.product(("max", "early", "collapse", "depth"), (20, 35)):
        assert declare(CONFIG, MODEL, BASE, patch_of({option: value}))[0] == f"{BASE}_{option}{value}"
