"""What a rule is. The words of its finding are in `words/*.yaml`, under its code."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prunescope.artifacts.diagnosis import Severity
from prunescope.diagnosis.changes import Change
from prunescope.diagnosis.situation import Situation

Look = Callable[[Situation], Iterator["Observation"]]


@dataclass(frozen=True)
class Observation:
    """What a rule saw: the numbers it rests on and the layers concerned.

    Attributes:
        severity: where it is not that of the rule.
    """

    evidence: dict[str, Any]
    layers: tuple[int, ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of the diagnosis.

    Attributes:
        code: stable name of its finding, the same in every language: the name of the function.
        severity: of its finding, unless an observation says otherwise.
        look: yields what the rule sees, usually at most one observation.
        remedies: what to try against the finding, the most promising first.
        of_gradients: whether it explains nothing where no gradient decides what goes.
        of_one_ranking: whether it explains nothing where blocks are not ranked against one another.
    """

    code: str
    severity: Severity
    look: Look
    remedies: tuple[Change, ...]
    of_gradients: bool
    of_one_ranking: bool


def rule(
    severity: Severity, *remedies: Change, of_gradients: bool = False, of_one_ranking: bool = False
) -> Callable[[Look], Rule]:
    """Make a rule of the function that follows; for the arguments see `Rule`."""
    return lambda look: Rule(look.__name__, severity, look, remedies, of_gradients, of_one_ranking)
