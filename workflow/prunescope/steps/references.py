"""What an experiment is compared with, and which settings set the two apart."""

from pathlib import Path
from typing import Any

import yaml

from prunescope.config.patches import differences
from prunescope.config.resolve import Experiment
from prunescope.errors import ConfigError
from prunescope.files import read_json
from prunescope.steps.specs import BeforeAfterSpec

IDENTITY = "experiment.json"
# The sections that decide what is removed.
DECISIVE = {"calibration", "gradients", "removal", "method", "corrections", "limits"}


def compared(directory: Path, reference: str | None = None) -> BeforeAfterSpec:
    """Return how a finished experiment compares with one beside it: `reference`, or the one of its configuration.

    Raises:
        ConfigError: there is no reference, or it is the experiment itself.
        DataError: one of the two has not finished.
    """
    about = read_json(directory / IDENTITY)
    reference = reference or about["settings"]["report"]["reference"]
    if reference is None:
        raise ConfigError(
            f"{directory} has no reference; pass --reference with an experiment beside it, or set report.reference in "
            "the configuration"
        )
    if reference == about["experiment"]:
        raise ConfigError(f"--reference {reference}: an experiment is not compared with itself")
    before = read_json(directory.resolve().parent / reference / IDENTITY)
    changes = _differences(*(_decisive(told["dataset"], told["settings"]) for told in (before, about)))
    return BeforeAfterSpec(model=about["model"], experiment=about["experiment"], reference=reference, changes=changes)


def before_after_spec(experiment: Experiment, reference: Experiment) -> BeforeAfterSpec:
    """Return what the comparison of an experiment with its reference is told."""
    told = (_decisive(one.dataset, one.settings.model_dump(mode="json")) for one in (reference, experiment))
    return BeforeAfterSpec(
        model=experiment.model, experiment=experiment.name, reference=reference.name, changes=_differences(*told)
    )


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the settings that differ: config path -> both values, as YAML."""
    return {path: (_flow(old), _flow(new)) for path, old, new in differences(before, after)}


def _decisive(dataset: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": dataset} | {section: told for section, told in settings.items() if section in DECISIVE}


def _flow(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
