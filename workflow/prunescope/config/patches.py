"""Nested dictionaries of settings: merging, comparing, and dotted paths such as ``limits.max_rate``."""

from collections.abc import Iterator, Mapping
from typing import Any

Patch = dict[str, Any]
"""Settings to merge over others: sections by name, down to values."""
Scalar = str | int | float | bool | None


def merge(*layers: Mapping[str, Any]) -> Patch:
    """Merge nested dictionaries; later ones win, and anything but a dictionary is replaced as a whole."""
    merged: Patch = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(merged.get(key), dict) and isinstance(value, dict)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def leaves(patch: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of every setting: ``{"limits": {"max_rate": 0.5}}`` -> ``("limits.max_rate", 0.5)``.

    An empty section is a value too, ``{}``: it switches an optional section on.
    """
    for key, value in patch.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(settings: Mapping[str, Any]) -> Patch:
    """Return settings whose keys may be dotted paths as nested sections, the inverse of `leaves`."""
    patch: Patch = {}
    for path, value in leaves(settings):
        for key in reversed(path.split(".")):
            value = {key: value}
        patch = merge(patch, value)
    return patch


def at(patch: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Return the section or setting at a dotted path, or `default` where there is none."""
    value: Any = patch
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def overlap(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return the first path that both patches set, or None; that they set parts of one section is no overlap."""
    for key in other:
        if key in one:
            both = isinstance(one[key], dict) and isinstance(other[key], dict)
            found = overlap(one[key], other[key], f"{prefix}{key}.") if both else prefix + key
            if found:
                return found
    return None


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, old and new value of every setting that differs; None stands for one that is missing."""
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield prefix + key, old, new


def flatten(settings: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return settings by dotted path, ``{"a": {"b": 1}}`` -> ``{"a.b": 1}``; lists become text, empty sections go."""
    return {
        path: ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for path, value in leaves(settings)
        if not isinstance(value, dict)
    }
