"""A project whose files lost their times says so, and how to keep them."""

import os
from pathlib import Path

import pytest
from test_changed import made, planned

from prunescope.artifacts.formats import Json
from prunescope.artifacts.record import StepRecord
from prunescope.runs.copies import copied

__all__ = ["made"]
MADE = 1_000_000.0


@pytest.fixture
def finished(made):
    """Every file of the experiment, each step's a minute later than those of the step before it."""
    found = planned()
    for number, task in enumerate(found.tasks.values()):
        for path in map(Path, task.outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name in ("record.json", f"{task.name}.json"):
                record = StepRecord(step=task.name, key="k", finished=MADE + 60 * number)
                Json(StepRecord).write(path, record)
            elif path.name == "model":
                path.mkdir(exist_ok=True)
            elif not path.exists():
                path.touch()
            os.utime(path, (0, MADE + 60 * number))
    return found


def set_times(found, step, time):
    for path in found.tasks[step].outputs:
        os.utime(path, (0, time))


def test_what_has_its_times_is_not_mentioned(finished):
    assert copied(finished) is None


def test_a_copy_in_another_order_is_told_with_the_way_out(finished):
    for task in finished.tasks:
        set_times(finished, task, MADE + 100_000)
    assert copied(finished) is None  # all at once: nothing runs again
    set_times(finished, "pruning", MADE + 100_001)
    said = copied(finished)
    assert "were copied without their times, so that evaluation" in said and "importance" not in said
    assert f"snakemake --cores 1 --touch {finished.directory}" in said


def test_a_step_that_ran_again_by_itself_is_no_copy(finished):
    set_times(finished, "pruning", MADE + 100_000)
    assert copied(finished) is None


def test_of_other_settings_the_other_warning_speaks(finished):
    for task in finished.tasks:
        set_times(finished, task, MADE + 100_000)
    set_times(finished, "pruning", MADE + 100_001)
    assert copied(planned(limits={"max_rate": 0.5})) is None
