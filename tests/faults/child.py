"""What the forks of `every_step` do: run a command, with a fault at one of its writes."""

import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import prunescope.cli

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
BELOW = ("results/", "resources/", "mlartifacts/")
at_the_end: list[Callable[[], object]] = []


def at_write(number: int, then: Callable[[str], None]) -> None:
    """Call `then` with the path at the write of this number: a file below `BELOW` that is opened or renamed."""
    count = 0

    def look(event: str, arguments: tuple) -> None:
        nonlocal count
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
            return
        if event not in ("open", "os.rename"):
            return
        path = arguments[1 if event == "os.rename" else 0]
        path = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if any(part in path for part in BELOW) and not path.endswith(".lease"):
            count += 1
            if count == number or not number:
                then(path)

    sys.addaudithook(look)


def watch(_: int) -> None:
    """Write down how often the step wrote, which machines it was to reach, and which pickles it was to open."""
    writes: list[str] = []
    places: list[str] = []
    at_write(0, writes.append)

    def note(event: str, arguments: tuple) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.bind") and isinstance(arguments[1], tuple):
            places.append(f"{event} {arguments[1][0]}")
        if event == "pickle.find_class":
            places.append(f"{event} {arguments[0]}.{arguments[1]}")

    sys.addaudithook(note)
    at_the_end.append(lambda: Path("watched.json").write_text(json.dumps({"writes": len(writes), "places": places})))


def killed(number: int) -> None:
    at_write(number, lambda _: os.kill(os.getpid(), signal.SIGKILL))


def terminated(number: int) -> None:
    at_write(number, lambda _: os.kill(os.getpid(), signal.SIGTERM))


def failing(code: int) -> Callable[[int], None]:
    """Return a fault: the write fails, and all that follow do."""

    def arm(number: int) -> None:
        count = 0

        def fail(path: str) -> None:
            nonlocal count
            count += 1
            if count >= number:
                raise OSError(code, os.strerror(code), path)

        at_write(0, fail)

    return arm


def quota(_: int) -> None:
    """No file may have more than 300 bytes, whichever language writes it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))


def small_memory(_: int) -> None:
    """Let the process have 64 MiB more of addresses than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def clock_set_back(_: int) -> None:
    """Each look at the clock shows an hour less than the one before."""
    real, looks = time.time, iter(range(1, 1 << 30))
    time.time = lambda: real() - 3600 * next(looks)


def without_locks(_: int) -> None:
    """The file system knows no locks, as some network file systems do not."""
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = fcntl.lockf = refuse


def nobody(_: int) -> None:
    """Give up the rights of root, for which nothing is read-only."""
    if os.geteuid() == 0:
        os.setuid(65534)


FAULTS = {
    "": lambda _: None,
    "watch": watch,
    "killed": killed,
    "terminated": terminated,
    "no space": failing(errno.ENOSPC),
    "quota": quota,
    "memory": small_memory,
    "clock": clock_set_back,
    "no locks": without_locks,
    "nobody": nobody,
}


def run(folder: str, command: list[str], output: str, fault: str, at: int, variables: dict[str, str]) -> None:
    """Run a command as `prunescope` does, what it says into the pipe `output`."""
    stream = os.open(output, os.O_WRONLY)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.chdir(folder)
    os.environ.update(variables)
    sys.argv = command
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    FAULTS[fault](at)
    try:
        prunescope.cli.main()
    finally:
        for then in at_the_end:
            with suppress(OSError):
                then()
        sys.stdout.flush()
        sys.stderr.flush()


def make_store(folder: str, uri: str) -> None:
    """Make an empty store of MLflow."""
    from prunescope.tracking.connection import connected

    os.chdir(folder)
    with connected(uri):
        pass
