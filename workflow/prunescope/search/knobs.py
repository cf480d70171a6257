"""What a search moves: settings with the values that they can take, and what their values declare."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from prunescope.config.candidates import Deciding
from prunescope.config.patches import Patch, at, leaves, nested
from prunescope.config.sections import Settings
from prunescope.criteria import OF_GROUPS

CRITERION = "method.criterion"
COMBINE, TEMPERATURE, TAU = "method.combine", "method.temperature", "method.tau"
CAP = "limits.max_rate"

Places = dict[str, int | str]
"""A setting by knob, as Optuna knows it: the place of an ordered value, and of others what they are called."""


@dataclass(frozen=True)
class Knob:
    """A setting that is searched.

    Attributes:
        path: config path. values: that it can take. ordered: whether neighbours do about the same.
    """

    path: str
    values: tuple[Any, ...]
    ordered: bool = True

    @property
    def distribution(self) -> BaseDistribution:
        if self.ordered:
            return IntDistribution(0, len(self.values) - 1)
        return CategoricalDistribution([str(value) for value in self.values])

    def place(self, value: Any) -> int | str:
        """Return where a value is.

        Raises:
            ValueError: it is none of the values.
        """
        index = self.values.index(tuple(value) if isinstance(value, list) else value)
        return index if self.ordered else str(self.values[index])

    def value(self, place: int | str) -> Any:
        """Return the value at a place."""
        return self.values[place] if isinstance(place, int) else next(v for v in self.values if str(v) == place)

    def cell(self, place: int | str) -> float | str | None:
        """Return the value at a place as a table holds it beside those of other rows."""
        value = self.value(place)
        if isinstance(value, tuple):
            return ", ".join(f"{part:g}" for part in value)
        return value if self.ordered else str(value)


def steps(low: float, high: float, step: float) -> tuple[float, ...]:
    """Return round numbers from `low` to `high`."""
    return tuple(round(low + step * index, 2) for index in range(round((high - low) / step) + 1))


def octaves(low: int, high: int, parts: int) -> tuple[float, ...]:
    """Return 2^low to 2^high, with so many steps to each doubling, as names can spell them."""
    return tuple(round(math.pow(2, index / parts), 2) for index in range(low * parts, high * parts + 1))


RATES = steps(0.2, 0.9, 0.1)
KNOBS = (
    Knob(COMBINE, ("multiply", "share"), ordered=False),
    Knob(TEMPERATURE, steps(0, 2, 0.1)),
    Knob(TAU, (0.0, "auto", "inf"), ordered=False),
    Knob("corrections.attention_weight", octaves(-3, 3, 4)),
    Knob("corrections.power", steps(0.3, 2, 0.1)),
    Knob("corrections.block_power", steps(0, 2, 0.1)),
    Knob("corrections.depth_weight", steps(0, 1, 0.1)),
    Knob("corrections.clip", (None, (1.0, 99.0), (2.0, 98.0), (5.0, 95.0), (10.0, 90.0))),
    Knob(CAP, (*RATES, None)),
    Knob("limits.attention.max_rate", (0.0, 0.1, *RATES, None)),
    Knob("limits.mlp.max_rate", (*RATES, None)),
    Knob("limits.early_layers.max_rate", (0.0, 0.1, *RATES, None)),
    Knob("limits.collapse_below", (None, 0.1, 0.2, 0.3, 0.4)),
)
"""All but the criterion. A limit of None is none, the loosest of all."""

DEFAULTS = Deciding.within(Settings()).model_dump(mode="json")


@dataclass(frozen=True)
class Space:
    """What is searched in an experiment.

    Attributes:
        knobs: the settings that move, the criterion first. fixed: paths of those that the user has set.
    """

    knobs: tuple[Knob, ...]
    fixed: tuple[str, ...]

    @classmethod
    def of(cls, settings: Deciding, scored: Iterable[str]) -> "Space":
        """Return the space of an experiment: a setting that is not at its default stays as it is.

        Args:
            scored: criteria that the gradient pass scored.
        """
        told = settings.model_dump(mode="json")
        fixed = tuple(knob.path for knob in KNOBS if at(told, knob.path) != at(DEFAULTS, knob.path))
        criteria = tuple(name for name in OF_GROUPS if name in set(scored))
        free = [knob for knob in KNOBS if knob.path not in fixed]
        if settings.limits.widths == "uniform":  # no limit for single blocks changes what is equal in all layers
            free = [knob for knob in free if not knob.path.startswith("limits.")]
        return cls((Knob(CRITERION, criteria, ordered=False), *free), fixed)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna asks of."""
        return {knob.path: knob.distribution for knob in self.knobs}

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria that are searched."""
        return self.knobs[0].values

    def moves(self, path: str) -> bool:
        """Whether a setting is searched."""
        return any(knob.path == path for knob in self.knobs)

    def places(self, settings: Mapping[str, Any]) -> Places:
        """Return the place of settings by path; what they leave out is at its default.

        Raises:
            ValueError: a setting is not searched, or not with this value.
        """
        if unknown := [path for path in settings if not self.moves(path)]:
            raise ValueError(f"{', '.join(unknown)} is not searched")
        return {knob.path: knob.place(settings.get(knob.path, at(DEFAULTS, knob.path))) for knob in self.knobs}

    def values(self, places: Mapping[str, int | str]) -> dict[str, Any]:
        """Return the value of every setting that is searched, by path."""
        return {knob.path: knob.value(places[knob.path]) for knob in self.knobs}

    def patch(self, places: Mapping[str, int | str], settings: Deciding) -> Patch:
        """Return what places change in the settings of the experiment: what decides nothing is left out."""
        values = self.values(places)
        told = {path: value for path, value in values.items() if path == CRITERION or value != at(DEFAULTS, path)}
        combine = told.get(COMBINE, settings.method.combine)
        if combine == "share":
            told.pop(TEMPERATURE, None)
        elif not told.get(TEMPERATURE, settings.method.temperature):
            told.pop(TAU, None)
        return nested(told)

    def starts(self, candidates: Iterable[Patch], cap: float = 0.5) -> list[Places]:
        """Return what to begin with: each criterion plain and with a general limit, `share`, and the candidates.

        Those that are not in the space are left out.
        """
        plain: list[dict[str, Any]] = [{CRITERION: name} for name in self.criteria]
        wanted = [*plain, *(one | {CAP: cap} for one in plain), *(one | {COMBINE: "share"} for one in plain[:1])]
        wanted += [{CRITERION: self.criteria[0]} | dict(leaves(patch)) for patch in candidates]
        return [places for one in wanted if (places := self._known(one)) is not None]

    def _known(self, settings: Mapping[str, Any]) -> Places | None:
        try:
            return self.places(settings)
        except ValueError:
            return None
