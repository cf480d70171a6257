"""A change of settings as an experiment name: what a remedy asks for, as a target to type."""

from dataclasses import replace
from typing import Any

from prunescope.config.names import OPTIONS, Name, parse_name, split_name, write_number
from prunescope.errors import ConfigError
from prunescope.tracking.record import flatten

__all__ = ["Name", "Patch", "declared", "known_name", "rename"]

Patch = dict[str, Any]


def known_name(text: str) -> Name | None:
    """Return the parts of `text`, or None when the grammar does not know it (a named experiment)."""
    name = split_name(text)
    return name if name is not None and declared(name) is not None else None


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
        return replace(name, temperature=write_number(value))
    if path == "method.tau":
        return replace(name, tau=write_number(value))
    if path == "method.ratio":
        return replace(name, percent=write_number(100 * value))
    if path == "method.criterion":
        return replace(name, criterion=value)
    same = [option for option in OPTIONS if option.path == path]
    text = next((text for text in (option.write(value) for option in same) if text is not None), None)
    if text is None:
        return None
    kept = [other for other in name.options if all(option.parse(other) is None for option in same)]
    position = next((i for i, other in enumerate(name.options) if other not in kept), len(kept))
    return replace(name, options=(*kept[:position], text, *kept[position:]))
