"""The sweeps that docs/sweeps.md writes as examples are valid, and of `guards` fails what the page shows as failed."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml

from prunescope.config import load_config
from prunescope.config.sections import Sweep
from prunescope.steps.registry import Registry

TEXT = (Path(__file__).parents[2] / "docs/sweeps.md").read_text(encoding="utf-8")
EXAMPLES = yaml.safe_load(textwrap.dedent(re.search(r"^    sweeps:\n(?:     .*\n)+", TEXT, re.MULTILINE)[0]))["sweeps"]


@pytest.fixture(scope="module")
def registry():
    sweeps = {name: Sweep.model_validate(example) for name, example in EXAMPLES.items()}
    return Registry(load_config().model_copy(update={"sweeps": sweeps}))


def test_the_examples_have_as_many_experiments_as_they_say(registry):
    found = [len(registry.sweep(example["model"], name).members) for name, example in EXAMPLES.items()]
    said = [int(count) for count in re.findall(r"# .*: (\d+) experiments$", TEXT, re.MULTILINE)]
    assert [found[0], found[2]] == said


def test_the_failure_that_is_shown_is_one_of_the_example(registry):
    name, _, _, of, failed, why = re.search(
        r"^    sweep (\w+) on (\S+): (\d+) of (\d+) experiments finished\n      (\S+): (.*?): \.\.\.",
        TEXT,
        re.MULTILINE,
    ).groups()
    sweep = registry.sweep(EXAMPLES[name]["model"], name)
    assert len(sweep.members) == int(of)
    assert list(sweep.impossible) == [failed]
    assert sweep.impossible[failed].startswith(why)


def test_every_sweep_of_the_configuration_is_listed():
    listed = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Writing one")[0], re.MULTILINE)
    assert listed == list(load_config().sweeps)
