"""How the commands that a report recommends begin."""

import shlex
from collections.abc import Iterable
from pathlib import Path

START = "snakemake --cores all"


def start(configfiles: Iterable[Path]) -> str:
    """Return `START` with the configuration files of a run, if it was given any; paths as seen from here."""
    here = Path.cwd()
    files = [str(file.relative_to(here) if file.is_relative_to(here) else file) for file in configfiles]
    # A list of files ends where `--` says so.
    return shlex.join([*START.split(), "--configfile", *files, "--"]) if files else START
