"""Variables that cannot be are told before a run, not hours later by the step that reads them."""

import pytest

from prunescope import environment
from prunescope.environment import check_environment, gibibytes
from prunescope.errors import ConfigError

BAD = {
    environment.SAVE_BATCHES: ["x", "0", "-1", "1.5", "²", "9" * 5000],
    environment.SAVE_STEPS: ["x", "0"],
    environment.CHECKPOINTING: ["maybe", "2"],
    environment.DEBUG: ["on please"],
    environment.ONE_GPU: ["two"],
    environment.DEVICE_MEMORY: ["much", "nan", "inf", "-1"],
    environment.HOST_MEMORY: ["much", "-1"],
}


def test_every_variable_is_checked():
    assert set(BAD) == {value for name, value in vars(environment).items() if name.isupper()}


@pytest.mark.parametrize(("variable", "told"), [(name, told) for name, values in BAD.items() for told in values])
def test_what_cannot_be_is_told(variable, told, monkeypatch):
    check_environment()
    monkeypatch.setenv(variable, told)
    with pytest.raises(ConfigError, match=f"{variable} = '.*': must be"):
        check_environment()


@pytest.mark.parametrize(("told", "expected"), [("", None), ("0", 0.0), ("0.5", 0.5), ("20", 20.0)])
def test_memory_in_gib(told, expected, monkeypatch):
    monkeypatch.setenv(environment.DEVICE_MEMORY, told)
    assert gibibytes(environment.DEVICE_MEMORY) == expected
