"""The table of criteria: all that is known about one, but for its formula, which is in `importance/criteria.py`.

A new criterion is a row here, its formula there under the same name, and an oracle test. Needs no torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

Gradient = Literal["mean", "batch", "gate"]
RemovalUnit = Literal["group", "layer"]


@dataclass(frozen=True)
class Criterion:
    """What a criterion needs and removes.

    Attributes:
        meaning: a few words for the reference.
        gradient: which gradient it reads. ``mean``: that of each weight, averaged over all windows, which must be
            accumulated; ``batch``: that of each weight, batch by batch; ``gate``: that of a gate on each group, so
            of activations alone; None: none.
        text: whether the calibration text decides.
        unit: what goes together: single groups, or whole layers.
        stability: the criterion whose halves are compared to tell how stable its ranking is: itself, or the nearest
            one that has halves; None: there is nothing to compare.
    """

    meaning: str
    gradient: Gradient | None = None
    text: bool = True
    unit: RemovalUnit = "group"
    stability: str | None = None


CRITERIA: dict[str, Criterion] = {
    "taylor": Criterion("first order", "mean", stability="taylor_stream"),
    "taylor_2nd": Criterion("first order plus the diagonal second-order term", "mean", stability="taylor_stream"),
    "taylor_stream": Criterion(
        "mean over batches of the absolute value, without a gradient buffer", "batch", stability="taylor_stream"
    ),
    "gate": Criterion("squared derivative by a gate on the group", "gate", stability="gate"),
    "wanda": Criterion("weight times the norm of its input"),
    "magnitude": Criterion("absolute value of the weight", text=False),
    "shortgpt": Criterion("influence of a layer, removes whole layers", unit="layer"),
}

MODES: dict[str, tuple[Gradient, ...]] = {
    "accumulate": ("mean", "batch", "gate"),
    "layered": ("mean", "batch", "gate"),
    "stream": ("batch", "gate"),
    "gate": ("gate",),
}
"""The modes of the gradient pass -> the gradients that each yields."""

AUTO = "auto"
"""In place of a criterion: the step `search` finds one, together with the other settings that decide what goes."""

WITHOUT_GRADIENT = tuple(name for name, criterion in CRITERIA.items() if criterion.gradient is None)
WITHOUT_TEXT = tuple(name for name, criterion in CRITERIA.items() if not criterion.text)
OF_WHOLE_LAYERS = tuple(name for name, criterion in CRITERIA.items() if criterion.unit == "layer")
OF_GROUPS = tuple(name for name in CRITERIA if name not in OF_WHOLE_LAYERS)

if TYPE_CHECKING:
    CriterionName = str
    CriterionChoice = str
else:
    CriterionName = Literal[tuple(CRITERIA)]
    CriterionChoice = Literal[(*CRITERIA, AUTO)]


def not_scored(mode: str) -> tuple[str, ...]:
    """Return the criteria that a mode of the gradient pass cannot score; ``auto`` finds a mode for any of them."""
    yielded = MODES.get(mode, MODES["accumulate"])
    return tuple(name for name, criterion in CRITERIA.items() if criterion.gradient not in (None, *yielded))


def in_words(names: tuple[str, ...]) -> str:
    """Return names in backquotes: ```a`, `b` and `c```."""
    *others, last = (f"`{name}`" for name in names)
    return f"{', '.join(others)} and {last}" if others else last
