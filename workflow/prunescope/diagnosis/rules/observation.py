"""What a rule says: a code and numbers, in no language."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures

Severity = Literal["info", "high", "critical"]


@dataclass(frozen=True)
class Observation:
    """What a rule saw: a stable `code`, how bad it is, the numbers it rests on, and which layers."""

    code: str
    severity: Severity
    evidence: dict[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] = ()


Rule = Callable[[Measures, Evidence, Diagnosis], Iterable[Observation]]
