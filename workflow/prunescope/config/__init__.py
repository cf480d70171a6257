"""Configuration: sections, experiment names, resolved experiments. Imports no torch: the Snakefile reads it."""

from prunescope.config.resolve import CONFIG_FILE, Experiment, load_config, parse_config, resolve
from prunescope.config.sections import CRITERIA, Config, Settings

__all__ = ["CONFIG_FILE", "CRITERIA", "Config", "Experiment", "Settings", "load_config", "parse_config", "resolve"]
