"""The configuration: its sections, the grammar of experiment names, and resolved experiments. It imports no torch."""

from prunescope.config.files import CONFIG_FILE, load_merged
from prunescope.config.resolve import Experiment, load_config, parse_config, resolve
from prunescope.config.sections import Config, Settings

__all__ = [
    "CONFIG_FILE",
    "Config",
    "Experiment",
    "Settings",
    "load_config",
    "load_merged",
    "parse_config",
    "resolve",
]
