"""What an experiment is compared with, and which settings set the two apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from prunescope.config.resolve import Experiment, load_config, resolve
from prunescope.config.specs import BeforeAfterSpec
from prunescope.errors import ConfigError

# The sections that decide what is removed.
DECISIVE = {"calibration", "gradients", "removal", "method", "corrections", "limits"}


def compared(file: Path, model: str, name: str, reference: str | None = None) -> BeforeAfterSpec:
    """Return how an experiment compares with `reference`, or with the one that a configuration file names.

    Raises:
        ConfigError: there is no reference, it is unknown, or it is the experiment itself.
    """
    config = load_config(file)
    experiment = resolve(config, model, name)
    reference = reference or experiment.settings.report.reference
    if reference is None:
        raise ConfigError(
            f"{model}/{name} has no reference; set report.reference in the configuration, or pass --reference "
            "with an experiment of the same model"
        )
    if reference == name:
        raise ConfigError(f"--reference {name}: an experiment is not compared with itself")
    return before_after_spec(experiment, resolve(config, model, reference))


def before_after_spec(experiment: Experiment, reference: Experiment) -> BeforeAfterSpec:
    """Return what the comparison of an experiment with its reference is told."""
    return BeforeAfterSpec(
        model=experiment.model,
        experiment=experiment.name,
        reference=reference.name,
        changes=differences(reference, experiment),
    )


def differences(before: Experiment, after: Experiment) -> dict[str, tuple[str, str]]:
    """Return the settings that decide what is removed and differ: config path -> both values, as YAML."""
    pairs = _unequal(_decisive(before), _decisive(after))
    return {path: (_flow(old), _flow(new)) for path, old, new in pairs}


def _decisive(experiment: Experiment) -> dict[str, Any]:
    return {"dataset": experiment.dataset} | experiment.settings.model_dump(mode="json", include=DECISIVE)


def _unequal(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key, old in before.items():
        new = after[key]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _unequal(old, new, f"{prefix}{key}.")
        elif old != new:
            yield prefix + key, old, new


def _flow(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
