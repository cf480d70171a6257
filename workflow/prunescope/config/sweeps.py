"""Sweeps: variants and a product of values become experiments, named as the grammar would name them."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prunescope.config.messages import said_of
from prunescope.config.names import Name, rename, split_name, without, write_number
from prunescope.config.patches import Patch, at, leaves, merge, nested
from prunescope.config.resolve import settings_of
from prunescope.config.sections import Config, NamedExperiment, Settings, Sweep
from prunescope.config.sweep_words import patch_of
from prunescope.errors import ConfigError, did_you_mean
from prunescope.files import canonical

APART = "__"
"""Stands before settings that the grammar has no word for; no name of the grammar holds it."""
_MISSING = object()


def expand(config: Config, sweep: str, model: str) -> dict[str, NamedExperiment | None]:
    """Return the experiments of a sweep by name; where the name alone does not declare one, with its declaration.

    Experiments that come out the same, such as two tau at T = 0, are one.

    Raises:
        ConfigError: a value is not valid. Whether an experiment is possible is not checked here.
    """
    sweep_section = config.sweeps[sweep]
    members: dict[str, NamedExperiment | None] = dict.fromkeys(sweep_section.experiments)
    if sweep_section.base is None:
        return members
    for change in changes(sweep_section):
        with said_of(f"sweeps.{sweep}"):
            name, experiment = declare(config, model, sweep_section.base, patch_of(change))
        members.setdefault(name, experiment)
    return members


def changes(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Yield what each experiment of variants and product changes in the base, by word or path."""
    for variant in sweep.variants or ({},):
        for values in itertools.product(*sweep.product.values()):
            yield variant | dict(zip(sweep.product, values, strict=True))


def declare(config: Config, model: str, base: str, patch: Patch) -> tuple[str, NamedExperiment | None]:
    """Return the name of `base` changed by `patch` and, where the name does not say it all, its declaration.

    The name is as short as it can be: a setting that the base has anyway is not repeated.

    Raises:
        ConfigError: a value is not valid.
    """
    patch = dict(patch)
    dataset = patch.pop("dataset", None)
    if dataset is not None and dataset not in list(config.datasets):
        raise ConfigError(f"unknown dataset {dataset!r}; {did_you_mean(str(dataset), config.datasets)}")
    wanted = settings_of(config, model, base, patch)
    if base in config.experiments:
        before = settings_of(config, model, base)
        changed = {path: value for path, value in leaves(patch) if _value(before, path) != _value(wanted, path)}
        return _changed_named(base, config.experiments[base], dataset, changed)
    name = _on(dataset, base)
    unsaid: Patch = {}
    for path, value in leaves(patch):
        found = _saying(config, model, name, path, wanted)
        name = found or name
        unsaid |= {} if found else {path: value}
    if not wanted.method.needs_prior:
        name = replace(name, tau=None)
    if not unsaid:
        return str(name), None
    return _spelled(str(name), unsaid), NamedExperiment(base=str(name), settings=nested(unsaid))


def _saying(config: Config, model: str, name: Name, path: str, wanted: Settings) -> Name | None:
    """Return the shortest change of `name` whose experiment has the wanted setting at `path`."""
    value = _value(wanted, path)
    for candidate in (name, without(name, path), rename(name, nested({path: value}))):
        # tau is a part of the name and is written even where it is the default: T1_tau0.
        if candidate is None or (path == "method.tau" and candidate.tau is None):
            continue
        if _value(settings_of(config, model, str(candidate)), path) == value:
            return candidate
    return None


def _changed_named(
    base: str, named: NamedExperiment, dataset: str | None, changed: Patch
) -> tuple[str, NamedExperiment | None]:
    name = _on(dataset, named.base)
    said = {"dataset": dataset} if str(name) != named.base else {}
    if not said and not changed:
        return base, None
    settings = merge(named.settings, nested(changed))
    return _spelled(base, said | changed), NamedExperiment(base=str(name), settings=settings)


def _on(dataset: str | None, base: str) -> Name:
    """Return the name `base` with another dataset, if one is given."""
    name = split_name(base)
    return replace(name, dataset=dataset or name.dataset)


def _spelled(base: str, settings: Patch) -> str:
    """Return a readable name: ``taylor_T0_20_wiki__limits.protect-0_-1``."""
    return "".join([base, *(f"{APART}{path}-{_spell(value)}" for path, value in settings.items())])


def _spell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (int, float)):
        return write_number(value)
    text = "_".join(map(_spell, value)) if isinstance(value, (list, tuple)) else str(value)
    safe = re.fullmatch(r"[A-Za-z0-9._-]{1,40}", text) and APART not in text
    return text if safe else hashlib.sha256(canonical(value).encode()).hexdigest()[:8]


def _value(settings: Settings, path: str) -> Any:
    return at(settings.model_dump(mode="json"), path, _MISSING)
