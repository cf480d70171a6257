"""The project of all steps, once; the whole matrix where `-m faults` asks for it, and its table at the end."""

import pytest

from faults.every_step import EveryStep, make

RESULTS: dict[tuple[str, str], str] = {}
"""Step and fault -> what the table says of them: seconds, FAILED, or - where the fault cannot be."""


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> EveryStep:
    return make(tmp_path_factory.mktemp("faults") / "project")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked, unless the expression of `-m` speaks of it."""
    if "faults" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("faults")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    if not RESULTS:
        return
    steps, faults = (list(dict.fromkeys(names)) for names in zip(*RESULTS, strict=True))
    terminalreporter.section("steps and faults, seconds of the fault and of the same command afterwards")
    for number, fault in enumerate(faults, 1):
        terminalreporter.write_line(f"{number:>3} {fault}")
    terminalreporter.write_line(" " * 18 + "".join(f"{number:>7}" for number in range(1, len(faults) + 1)))
    for step in steps:
        cells = "".join(f"{RESULTS.get((step, fault), ''):>7}" for fault in faults)
        terminalreporter.write_line(f"{step:18}{cells}")
