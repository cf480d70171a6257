"""The command line of Snakemake, where it would end in a traceback."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from prunescope.errors import ConfigError

CONFIG_OPTIONS = ("--configfile", "--configfiles")


def check_config_files(arguments: Sequence[str]) -> None:
    """Check that what stands behind ``--configfile``, which takes all words up to the next option, are files.

    Raises:
        ConfigError: one is none; a target there needs ``--`` before it.
    """
    for place, option in enumerate(arguments):
        if option not in CONFIG_OPTIONS:
            continue
        first, *others = [*takewhile(lambda word: not word.startswith("-"), arguments[place + 1 :]), ""]
        if first and not Path(first).is_file():
            raise ConfigError(f"{option} {first}: no such file; name a YAML or JSON file with settings")
        for word in filter(None, others):
            if not Path(word).is_file():
                raise ConfigError(
                    f"{option} {first} {word}: Snakemake takes {word} for another configuration file; put -- before "
                    f"the target: {option} {first} -- {word}"
                )
