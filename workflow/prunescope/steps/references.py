"""Which settings set an experiment and its reference apart."""

from typing import Any

import yaml

from prunescope.artifacts.identity import Identity
from prunescope.config import patches
from prunescope.config.resolve import Experiment

DECISIVE = {"calibration", "gradients", "removal", "method", "corrections", "limits"}
"""The sections that decide what is removed."""


def differences(before: Experiment | Identity, after: Experiment | Identity) -> dict[str, tuple[str, str]]:
    """Return the settings that decide what is removed and differ: config path -> both values, as YAML."""
    old, new = (
        {"dataset": one.dataset} | one.settings.model_dump(mode="json", include=DECISIVE) for one in (before, after)
    )
    return {path: (_flow(one), _flow(other)) for path, one, other in patches.differences(old, new)}


def _flow(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
