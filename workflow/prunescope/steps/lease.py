"""One job at a time at a task, on this machine and on others that share the disk.

A job lives on when its Snakemake is killed, and after `--unlock` the same command starts a second one. A file beside
the task's first output says who works there: a host, a process and a heartbeat. What a dead process of this host left
is taken over at once; what another host left, once its heartbeat has stood still for `EXPIRES` seconds. No clock of
another machine is looked at.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import LeaseCompromise, SoftFileLease, Timeout

from prunescope.errors import DataError
from prunescope.steps.step import Task

log = logging.getLogger(__name__)

EXPIRES = 120.0
"""Seconds; the same for all that share a disk."""
POLL = 1.0
"""Seconds between two looks at a lease that is waited for."""


@contextmanager
def leased(task: Task, output: Path) -> Iterator[bool]:
    """Hold a task, or a part of it, alone; wait, and say for whom, while another job is at it.

    Args:
        output: the first file that is made; the lease is beside it.

    Yields:
        whether there is work to do: not where the job that was waited for has left the same result.
    """
    file, before = lease_file(output), _result(task)
    file.parent.mkdir(parents=True, exist_ok=True)
    lease, work = SoftFileLease(str(file.absolute()), lease_duration=EXPIRES, on_compromise=_lost), True
    try:
        lease.acquire(timeout=0)
    except Timeout:
        said = "%s: %s is at the step %s already; waiting for its end (if its run was killed, you may end it too)"
        log.warning(said, task.folder, held_by(file), task.name)
        lease.acquire(poll_interval=POLL)
        after = _result(task)
        if after and after != before:
            log.info("the other process has left what was to be made")
            work = False
    try:
        yield work
    finally:
        lease.release()


def lease_file(output: Path) -> Path:
    """Return the file that says who makes another."""
    return output.with_name(f".{output.name}.lease")


def held_by(file: Path) -> str:
    """Say which process has a lease, and where."""
    try:
        told = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines() if "=" in line)
    except (OSError, ValueError):  # it has just ended
        told = {}
    return f"process {told.get('pid', '?')} on {told.get('host', '?').partition('?')[0] or '?'}"


def _lost(loss: LeaseCompromise) -> None:
    """End this process where another one has its place, or its folder was deleted; a disk that does not answer may."""
    if loss.reason in ("owner-changed", "marker-missing"):
        log.warning("%s is gone: another process is at this step, or its folder was deleted; ending", loss.lock_file)
        os.kill(os.getpid(), signal.SIGTERM)


def _result(task: Task) -> tuple[int, int] | None:
    """Return what tells one writing of a task's record from another; None unless all its files are there, of its key.

    Tasks that leave no record are done again.
    """
    if task.record is None or not task.done:
        return None
    try:
        stat = task.record.path.stat()
        return (stat.st_ino, stat.st_mtime_ns) if task.record.read().key == task.key else None
    except (DataError, OSError):
        return None
