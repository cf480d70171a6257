"""How the run was started: what a command that continues it must repeat."""

import shlex
from collections.abc import Sequence

from prunescope.config.commands import START

STARTED = "PRUNESCOPE_TARGETS"
"""The environment variable that holds Snakemake's arguments as JSON; the Snakefile sets it, jobs inherit it."""
CONFIG_FILES = ("--configfile", "--configfiles")


def start(arguments: Sequence[str]) -> str:
    """Return `START` with the configuration files among Snakemake's arguments, if there are any."""
    files: list[str] = []
    reading = False
    for argument in arguments:
        option, _, value = argument.partition("=")
        if argument.startswith("-"):
            reading = option in CONFIG_FILES
            files += [value] if reading and value else []
        elif reading:
            files.append(argument)
    # A list of files ends where `--` says so.
    return shlex.join([*START.split(), "--configfile", *files, "--"]) if files else START
