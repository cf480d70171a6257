"""The environment variables of this package: what they may be, checked before a run and read where they count."""

import math
import os

from prunescope.errors import ConfigError

SAVE_BATCHES = "PRUNESCOPE_SAVE_BATCHES"
"""Save the sums of the gradient pass every N batches (else every 10 minutes)."""
SAVE_STEPS = "PRUNESCOPE_SAVE_STEPS"
"""Save the state of a training run every N steps (else every 5 minutes)."""
CHECKPOINTING = "PRUNESCOPE_CHECKPOINTING"
"""Recompute activations from the start, not only once memory has run out."""
DEBUG = "PRUNESCOPE_DEBUG"
"""Show tracebacks on the terminal."""
DEVICE_MEMORY = "PRUNESCOPE_DEVICE_MEMORY"
"""GiB of each device that weights may take."""
ONE_GPU = "PRUNESCOPE_ONE_GPU"
"""Take one free GPU of this host per job; set by the workflow where more than one job may use GPUs at a time."""
HOST_MEMORY = "PRUNESCOPE_HOST_MEMORY"
"""GiB of the host's memory that a step may plan with."""


def check_environment() -> None:
    """Check all variables, whichever step reads them.

    Raises:
        ConfigError: names the first one that is not valid.
    """
    for variable in (SAVE_BATCHES, SAVE_STEPS):
        whole_number(variable)
    for variable in (CHECKPOINTING, DEBUG, ONE_GPU):
        switch(variable)
    for variable in (DEVICE_MEMORY, HOST_MEMORY):
        gibibytes(variable)


def whole_number(variable: str) -> int | None:
    """Return a positive number from the environment, None where it is not set.

    Raises:
        ConfigError: it is something else.
    """
    told = os.environ.get(variable, "")
    if not told:
        return None
    if not (told.isascii() and told.isdecimal() and len(told) < 19) or int(told) < 1:
        raise ConfigError(f"{variable} = '{told}': must be a whole number of at least 1")
    return int(told)


def switch(variable: str) -> bool:
    """Return whether an environment variable switches something on.

    Raises:
        ConfigError: it is neither on nor off.
    """
    told = os.environ.get(variable, "").lower()
    if told not in ("", "0", "1", "false", "true", "no", "yes"):
        raise ConfigError(f"{variable} = '{told}': must be 1 or 0")
    return told in ("1", "true", "yes")


def gibibytes(variable: str) -> float | None:
    """Return an amount of memory in GiB, None where it is not set.

    Raises:
        ConfigError: it is no number, or below 0.
    """
    told = os.environ.get(variable, "")
    try:
        amount = float(told or 0)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise ConfigError(f"{variable} = '{told}': must be a number of GiB, for example 20")
    return amount if told else None
