"""Experiment names taken apart and put together again, so that a change of settings has a name."""

import math
from dataclasses import dataclass, replace
from typing import Any

from prunescope.config.names import NAME, OPTIONS, Option, parse_name
from prunescope.errors import ConfigError
from prunescope.tracking.record import flatten

Patch = dict[str, Any]


@dataclass(frozen=True)
class Name:
    """The parts of an experiment name, numbers as they were written."""

    criterion: str
    temperature: str
    tau: str | None
    percent: str
    dataset: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        tau = [] if self.tau is None else [f"tau{self.tau}"]
        return "_".join([self.criterion, f"T{self.temperature}", *tau, self.percent, self.dataset, *self.options])


def split_name(text: str) -> Name | None:
    """Return the parts of `text`, or None when it is no name under the grammar (a named experiment)."""
    match = NAME.fullmatch(text)
    if match is None:
        return None
    name = Name(
        criterion=match["criterion"],
        temperature=match["temperature"],
        tau=match["tau"],
        percent=match["percent"],
        dataset=match["dataset"],
        options=tuple(match["options"].split("_")[1:]),
    )
    return name if declared(name) is not None else None


def declared(name: Name) -> Patch | None:
    """Return the settings that a name declares, or None when a part of it is unknown."""
    try:
        return parse_name(str(name), [name.dataset])[1]
    except ConfigError:
        return None


def rename(name: Name, patch: Patch) -> Name | None:
    """Return `name` with the settings of `patch`, or None when the grammar has no word for one of them."""
    for path, value in flatten(patch).items():
        name = _with(name, path, value)
        if name is None:
            return None
    return name


def _with(name: Name, path: str, value: Any) -> Name | None:
    if path == "method.temperature":
        return replace(name, temperature=_number(value))
    if path == "method.tau":
        return replace(name, tau=_number(value))
    if path == "method.ratio":
        return replace(name, percent=_number(100 * value))
    option = next((option for option in OPTIONS if ".".join(option.path) == path), None)
    text = _option_text(option, value) if option else None
    if text is None:
        return None
    if any(option.match(other) for other in name.options):
        return replace(name, options=tuple(text if option.match(other) else other for other in name.options))
    return replace(name, options=(*name.options, text))


def _option_text(option: Option, value: Any) -> str | None:
    prefix = option.pattern.split("(")[0]
    # The option alone knows whether its number is a percentage: take the spelling that parses back.
    for text in (prefix + _number(value), prefix + _number(100 * value)):
        found = option.match(text)
        if found and option.parse(found[1]) == value:
            return text
    return None


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "inf" if value == math.inf else f"{value:.10g}"
