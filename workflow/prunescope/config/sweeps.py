"""Sweeps: variants and a product of values become experiments, named as the grammar would name them."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prunescope.config.names import write_number
from prunescope.config.overrides import patch_of
from prunescope.config.renaming import Name, Patch, known_name, leaves, rename, without
from prunescope.config.resolve import merge, settings_of
from prunescope.config.sections import Config, NamedExperiment, Settings, Sweep
from prunescope.errors import ConfigError, did_you_mean
from prunescope.files import canonical

# No name of the grammar holds it: what follows are settings that the grammar has no word for.
APART = "__"
NOTHING = object()


def expand(config: Config, sweep: str, model: str) -> dict[str, NamedExperiment | None]:
    """Return the experiments of a sweep by name; where the name alone does not declare one, with its declaration.

    Experiments that come out the same, such as two tau at T = 0, are one.

    Raises:
        ConfigError: a value is not valid. Whether an experiment is possible is not asked here.
    """
    declared = config.sweeps[sweep]
    members: dict[str, NamedExperiment | None] = dict.fromkeys(declared.experiments)
    for change in changes(declared):
        try:
            name, experiment = declare(config, model, declared.base, patch_of(change))
        except ConfigError as error:
            raise ConfigError(f"sweeps.{sweep}: {error}") from None
        members.setdefault(name, experiment)
    return members


def changes(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Yield what each experiment of variants and product changes in the base, by word or path."""
    if sweep.base is None:
        return
    for variant in sweep.variants or ({},):
        for values in itertools.product(*sweep.product.values()):
            yield variant | dict(zip(sweep.product, values, strict=True))


def declare(config: Config, model: str, base: str, patch: Patch) -> tuple[str, NamedExperiment | None]:
    """Return the name of `base` changed by `patch` and, where the name does not say it all, its declaration.

    The shortest name wins: a setting that the base has anyway is not said again.

    Raises:
        ConfigError: a value is not valid.
    """
    patch = dict(patch)
    dataset = patch.pop("dataset", None)
    if dataset is not None and dataset not in list(config.datasets):
        raise ConfigError(f"unknown dataset {dataset!r}; {did_you_mean(str(dataset), config.datasets)}")
    wanted = settings_of(config, model, base, patch)
    named = config.experiments.get(base)
    if named is not None:
        changed = {
            path: value
            for path, value in leaves(patch)
            if _at(settings_of(config, model, base), path) != _at(wanted, path)
        }
        return _of_named(base, named, dataset, list(changed.items()))
    name = known_name(base)
    name = replace(name, dataset=dataset or name.dataset)
    left: list[tuple[str, Any]] = []
    for path, value in leaves(patch):
        found = _saying(config, model, name, path, wanted)
        name = found or name
        left += [] if found else [(path, value)]
    if not wanted.method.needs_prior:
        name = replace(name, tau=None)
    if not left:
        return str(name), None
    return _spelled(str(name), left), NamedExperiment(base=str(name), settings=_nested(left))


def _saying(config: Config, model: str, name: Name, path: str, wanted: Settings) -> Name | None:
    """Return the shortest change of `name` whose experiment has the wanted setting at `path`."""
    value = _at(wanted, path)
    for candidate in (name, without(name, path), rename(name, _nested([(path, value)]))):
        # A part of the name is said, even where it is the default: T1_tau0.
        spoken = path != "method.tau" or candidate is None or candidate.tau is not None
        if candidate and spoken and _at(settings_of(config, model, str(candidate)), path) == value:
            return candidate
    return None


def _of_named(
    base: str, named: NamedExperiment, dataset: str | None, changed: list[tuple[str, Any]]
) -> tuple[str, NamedExperiment | None]:
    name = known_name(named.base)
    said = [("dataset", dataset)] if dataset not in (None, name.dataset) else []
    if not said and not changed:
        return base, None
    name = replace(name, dataset=dataset or name.dataset)
    settings = merge(named.settings, _nested(changed))
    return _spelled(base, [*said, *changed]), NamedExperiment(base=str(name), settings=settings)


def _spelled(base: str, settings: list[tuple[str, Any]]) -> str:
    """Return a readable name: ``taylor_T0_20_wiki__limits.protect-0_-1``."""
    return "".join([base, *(f"{APART}{path}-{_spell(value)}" for path, value in settings)])


def _spell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (int, float)):
        return write_number(value)
    text = "_".join(map(_spell, value)) if isinstance(value, (list, tuple)) else str(value)
    safe = re.fullmatch(r"[A-Za-z0-9._-]{1,40}", text) and APART not in text
    return text if safe else hashlib.sha256(canonical(value).encode()).hexdigest()[:8]


def _nested(settings: list[tuple[str, Any]]) -> Patch:
    patch: Patch = {}
    for path, value in settings:
        for key in reversed(path.split(".")):
            value = {key: value}
        patch = merge(patch, value)
    return patch


def _at(settings: Settings, path: str) -> Any:
    value: Any = settings.model_dump(mode="json")
    for key in path.split("."):
        value = value.get(key, NOTHING) if isinstance(value, dict) else NOTHING
    return value
