"""No name of a model, a text, an experiment or a sweep leads out of `results/`."""

import pytest

from prunescope.config.resolve import parse_config
from prunescope.errors import ConfigError
from prunescope.steps.registry import Registry

PLAIN = {"models": {"m": {"hub": "a/b"}}, "datasets": {"c": {"hub": "a/b"}}}
OUTSIDE = ["..", "../m", "a/../../m", "/m", "~", ".m", "a/b", "a\\b", "a b", "$(m)", "m\n", "m;m", "", "_shared"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    "declared",
    [
        lambda name: {"models": {name: {"hub": "a/b"}}},
        lambda name: {"datasets": {name: {"hub": "a/b"}}},
        lambda name: {"experiments": {name: {"base": "taylor_T0_20_c"}}},
        lambda name: {"sweeps": {name: {"model": "m", "experiments": ["taylor_T0_20_c"]}}},
    ],
    ids=["models", "datasets", "experiments", "sweeps"],
)
def test_a_name_that_leads_elsewhere_is_refused(declared, name):
    with pytest.raises(ConfigError):
        parse_config(PLAIN | declared(name))


@pytest.mark.parametrize(
    "target",
    ["results/../m/taylor_T0_20_c", "results/m/..", "results/m/../../x", "results/m/taylor_T0_20_c/../../../x", "m/.."],
)
def test_a_target_that_leads_elsewhere_is_no_target(target):
    try:
        found = Registry(parse_config(PLAIN)).targets([target])
    except ConfigError:
        return
    assert found == []


@pytest.mark.parametrize("word", ["../x", "/x", "x y", "x;y"])
def test_neither_does_a_wheel(word):
    sums = {"sha256": "0" * 64, "member_sha256": "0" * 64, "member": "x"}
    with pytest.raises(ConfigError):
        parse_config(PLAIN | {"models": {"m": {"embedded": {"wheel": f"{word}==1", **sums}}}})
