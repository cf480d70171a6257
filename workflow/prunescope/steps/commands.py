"""How the commands that a report recommends begin."""

import shlex
from collections.abc import Sequence

START = "snakemake --cores all"


def start(configfiles: Sequence[str]) -> str:
    """Return `START` with the configuration files of a run, if it was given any."""
    # A list of files ends where `--` says so.
    return shlex.join([*START.split(), "--configfile", *configfiles, "--"]) if configfiles else START
