"""`prunescope`, `snakemake` and `python` without the seconds of their imports.

A server that has imported everything forks a process per command: still one process each, with the arguments, folder,
environment and streams of whoever called. Beside its socket lie programs of the same names, which hand the command over
and end as it does. What is called as `python -I` goes to a second server, which has never imported this package.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
PROGRAMS = ("prunescope", "snakemake", "python")
SERVERS = {"all": [], "alone": ["-I"]}
"""What each has imported, which is also the name of its socket, and options of the Python that runs it."""

ALIVE = "alive"
"""A pipe; servers end when whoever made the folder closes it."""

_started: list[subprocess.Popen] = []


@contextmanager
def place() -> Iterator[Path]:
    """Make a folder for `warm`, at a short path, as sockets must have; what runs there ends with the context."""
    with TemporaryDirectory() as name:
        os.mkfifo(Path(name, ALIVE))
        held = os.open(Path(name, ALIVE), os.O_RDWR)
        try:
            yield Path(name)
        finally:
            os.close(held)


def warm(folder: Path) -> Path:
    """Return the folder with the programs in it, which are made and warmed once, whichever process asks first."""
    from filelock import FileLock  # not where checkpoints are tried without this package

    with FileLock(folder / "lock"):
        if not (folder / PROGRAMS[0]).exists():
            with (folder / ALIVE).open("rb", buffering=0) as alive:
                servers = [_start(folder, name, alive) for name in SERVERS]
            for server in servers:
                assert server.stdout.readline(), "the server did not start"
            text = f"#!{sys.executable} -IS\n{(HERE / 'client.py').read_text()}"
            for program in PROGRAMS:
                (folder / program).write_text(text)
                (folder / program).chmod(0o755)
    return folder


def _start(folder: Path, name: str, alive) -> subprocess.Popen:
    command = [sys.executable, *SERVERS[name], str(HERE / "server.py"), str(folder), name]
    _started.append(subprocess.Popen(command, stdin=alive, stdout=subprocess.PIPE))  # kept, as they outlive this
    return _started[-1]
