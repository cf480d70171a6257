"""Every case ends as it must: with the numbers of its model, or in one sentence, before anything is computed."""

import pytest

from inputs.case import Case
from inputs.run import run
from inputs.table import KINDS


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for cases in KINDS.values() for case in cases])
def test_an_input(case: Case) -> None:
    assert not case.fault(run(case))


def test_names_are_unique() -> None:
    names = [case.name for cases in KINDS.values() for case in cases]
    assert len(names) == len(set(names))
