"""What an experiment is compared with: resolved by name, checked early, and in no key."""

import pytest

from prunescope.config.resolve import parse_config, resolve
from prunescope.errors import ConfigError
from prunescope.steps.diagnosis import differences
from prunescope.steps.registry import Registry

NEW, OLD = "taylor_T1_tau0_20_wiki", "taylor_T0_20_wiki"
WHEEL = {"wheel": "a==1", "sha256": "0" * 64, "member": "m", "member_sha256": "1" * 64}


def content(reference=None, **experiments):
    return {
        "models": {"M": {"hub": "a/b"}, "N": {"hub": "a/c"}},
        "datasets": {"wiki": {"embedded": WHEEL | {"reader": "wikipedia_dump"}}},
        "evaluation": {"datasets": ["wiki"]},
        "report": {"reference": reference},
        "experiments": experiments,
    }


def named(base, **settings):
    return {"base": base, "settings": settings}


def test_without_a_reference_there_is_no_comparison():
    planned = Registry(parse_config(content())).experiment("M", NEW)
    assert planned.reference is None
    assert "before_after" not in planned.tasks
    assert not [file for file in planned.files() if "before_after" in file]


def test_a_reference_adds_the_picture_in_both_formats_and_the_steps_of_the_reference():
    registry = Registry(parse_config(content(OLD + "_s256")))
    planned = registry.experiment("M", NEW)
    assert {f"{planned.directory}/visualization/before_after.{suffix}" for suffix in ("png", "svg")} < set(
        planned.files()
    )
    assert planned.tasks["before_after"].spec.reference == OLD + "_s256"
    (reference,) = registry.references([planned])
    gradients = reference.tasks["gradients"]
    assert gradients.key != planned.tasks["gradients"].key
    assert registry.task("M", "gradients", gradients.key) is gradients


def test_the_reference_is_not_compared_with_itself():
    registry = Registry(parse_config(content(OLD)))
    assert registry.experiment("M", OLD).reference is None
    assert registry.experiment("M", NEW).reference.name == OLD


def test_two_named_experiments_may_name_each_other():
    both = {"a": named(OLD, report={"reference": "b"}), "b": named(NEW, report={"reference": "a"})}
    registry = Registry(parse_config(content(**both)))
    assert registry.experiment("M", "a").reference.name == "b"
    assert registry.experiment("M", "b").reference.name == "a"


def test_a_reference_changes_no_key_and_no_other_step():
    plain = Registry(parse_config(content())).experiment("M", NEW)
    with_one = Registry(parse_config(content(OLD))).experiment("M", NEW)
    assert [task.key for task in plain.shared] == [task.key for task in with_one.shared]
    for step in ("importance", "diagnosis", "pruning", "evaluation"):
        assert plain.tasks[step].spec.text() == with_one.tasks[step].spec.text()
    assert plain.tasks["page"].spec.key == with_one.tasks["page"].spec.key


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            content("tailor_T0_20_wiki"),
            "report.reference = 'tailor_T0_20_wiki': unknown criterion 'tailor'.*did you mean",
        ),
        (
            content("guard", guarded=named(OLD)),
            "report.reference = 'guard': unknown experiment 'guard'; did you mean 'guar",
        ),
        (
            content(mine=named(OLD, report={"reference": "taylor_T0_20_wikki"})),
            r"experiments.mine.settings: report.reference = .*unknown dataset 'wikki'.*did you mean",
        ),
        (
            content(mine=named(OLD, report={"reference": "mine"})),
            r"experiments.mine.settings: report.reference = 'mine': an experiment is not compared with itself",
        ),
    ],
)
def test_a_wrong_reference_is_found_when_the_configuration_is_read(made, said):
    with pytest.raises(ConfigError, match=said):
        parse_config(made)


def test_a_reference_of_a_model_is_checked_with_the_model():
    made = content()
    made["models"]["M"]["settings"] = {"report": {"reference": "taylor_T0_20_wikki"}}
    with pytest.raises(ConfigError, match=r"models.M.settings: report.reference = 'taylor_T0_20_wikki'"):
        parse_config(made)


def test_a_reference_that_does_not_resolve_is_found_with_the_experiment():
    made = content(OLD + "_s4096")
    made["models"]["M"]["context"] = 1024
    config = parse_config(made)
    with pytest.raises(ConfigError, match=rf"M/{NEW}: report.reference = .*calibration.seq_len = 4096: longer"):
        resolve(config, "M", NEW)
    assert resolve(config, "N", NEW)


def test_changes_are_the_settings_that_decide():
    config = parse_config(content(OLD))
    old, new = (resolve(config, "M", name) for name in (OLD, "wanda_T1_tauinf_20_wiki_early30_s256"))
    assert differences(old, new) == {
        "calibration.seq_len": ("512", "256"),
        "method.criterion": ("taylor", "wanda"),
        "method.temperature": ("0", "1"),
        "method.tau": ("0", "inf"),
        "limits.early_layers": ("null", "{count: 5, max_rate: 0.3}"),
    }
    assert differences(old, old) == {}
