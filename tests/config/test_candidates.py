"""What `trial.candidates` declares, and which of it an experiment can try."""

import pytest

from prunescope.config.candidates import configured
from prunescope.config.resolve import load_config, resolve
from prunescope.errors import ConfigError


def candidates(name, *changes):
    settings = resolve(load_config(), "SmolLM2-135M", name).settings
    told = settings.trial.model_copy(update={"candidates": changes})
    return configured(settings.model_copy(update={"trial": told}))


LIMIT, EQUAL = {"limits": {"max_rate": 0.4}}, {"limits": {"widths": "uniform"}}


@pytest.mark.parametrize(
    "change", [{"limits.protect": [0]}, {"early": 30}, {"collapse": 20}, {"criterion": "shortgpt"}]
)
def test_equal_layers_are_tried_with_what_treats_all_alike(change):
    assert candidates("gate_T0_20_wiki_uniform", {"max": 40}, change) == (LIMIT,)
    assert len(candidates("gate_T0_20_wiki", {"max": 40}, change)) == 2
    assert len(candidates("gate_T0_20_wiki_uniform", {**change, "limits.widths": "free"})) == 1


def test_a_mistake_is_said_of_equal_layers_too():
    with pytest.raises(ConfigError, match=r"trial.candidates.1.*protect"):
        candidates("gate_T0_20_wiki_uniform", {"max": 40}, {"limits.protect": ["first"]})
    with pytest.raises(ConfigError, match="drop one of them"):
        candidates("gate_T0_20_wiki", {"limits.protect": [0], "uniform": True})
    assert candidates("gate_T0_20_wiki", {"uniform": True}) == (EQUAL,)
