"""Configuration: sections, experiment names, resolved experiments and step keys.

The only part of the package that the Snakefile imports; it must not import torch.
"""

from prunescope.config.resolve import CONFIG_FILE, Experiment, load_config, parse_config, resolve
from prunescope.config.sections import Config, Settings
from prunescope.criteria import CRITERIA
from prunescope.steps.keys import (
    RESULTS,
    Step,
    experiment_directory,
    experiment_specs,
    shared_steps,
)

__all__ = [
    "CONFIG_FILE",
    "CRITERIA",
    "RESULTS",
    "Config",
    "Experiment",
    "Settings",
    "Step",
    "experiment_directory",
    "experiment_specs",
    "load_config",
    "parse_config",
    "resolve",
    "shared_steps",
]
