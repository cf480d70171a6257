"""`prunescope`, `snakemake` and Python scripts without the seconds of their imports.

A server that has imported everything forks a process per command: still one process each, with the arguments, folder,
environment and streams of whoever called. Beside its socket lie programs of the same names, which hand the command over
and end as it does.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
PROGRAMS = ("prunescope", "snakemake", "script")
"""`script` runs the Python script that it is given."""


@contextmanager
def warm() -> Iterator[Path]:
    """Make a folder with the programs, which are warm while the context lasts, and with a `python`."""
    client = f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}"
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    with TemporaryDirectory() as name:  # at a short path, as sockets must have
        for program, text in {"python": python, **dict.fromkeys(PROGRAMS, client)}.items():
            (path := Path(name, program)).write_text(text)
            path.chmod(0o755)
        command = [sys.executable, str(HERE / "server.py"), name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout.readline(), "the server did not start"
            yield Path(name)
            # Leaving closes its input, which ends it.
