"""A change of settings as an experiment name: what a remedy or a sweep asks for, as a target to type."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from prunescope.config.names import OPTIONS, Name, parse_name, split_name, write_number
from prunescope.errors import ConfigError

__all__ = ["Name", "Patch", "declared", "known_name", "leaves", "rename", "without"]

Patch = dict[str, Any]

# The settings that are parts of a name, not options: config path -> part and how it is spelled.
PARTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method.criterion": ("criterion", str),
    "method.temperature": ("temperature", write_number),
    "method.tau": ("tau", write_number),
    "method.ratio": ("percent", lambda ratio: write_number(100 * ratio)),
    "dataset": ("dataset", str),
}


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
    for path, value in leaves(patch):
        name = _with(name, path, value)
        if name is None:
            return None
    return name


def without(name: Name, path: str) -> Name:
    """Return `name` without the option that sets `path`, if it has one."""
    return replace(name, options=_others(name, path))


def leaves(patch: Patch, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a patch: ``{"limits": {"max_rate": 0.5}}`` -> ``("limits.max_rate", 0.5)``."""
    for key, value in patch.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _with(name: Name, path: str, value: Any) -> Name | None:
    changed = _spelled(name, path, value)
    return changed if changed is not None and declared(changed) is not None else None


def _spelled(name: Name, path: str, value: Any) -> Name | None:
    if path in PARTS:
        part, spell = PARTS[path]
        return replace(name, **{part: spell(value)})
    if path == "corrections.clip":
        # The option says the lower percentile; the upper one mirrors it.
        value = value[0] if sum(value) == 100 else None
    same = [option for option in OPTIONS if option.path == path]
    written = (option.write(value) for option in same if value is not None)
    text = next((text for text in written if text is not None), None)
    if text is None:
        return None
    kept = _others(name, path)
    position = next((i for i, other in enumerate(name.options) if other not in kept), len(kept))
    return replace(name, options=(*kept[:position], text, *kept[position:]))


def _others(name: Name, path: str) -> tuple[str, ...]:
    """Return the options of `name` that set something else than `path`."""
    same = [option for option in OPTIONS if option.path == path]
    return tuple(text for text in name.options if all(option.parse(text) is None for option in same))
