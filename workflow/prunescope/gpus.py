"""GPUs of one host that several jobs share: each takes a free one, by a lock that its process holds on a file."""

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prunescope.environment import ONE_GPU, switch

log = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL = 1.0
"""Seconds between two looks for a GPU that has become free."""


@contextmanager
def one_gpu() -> Iterator[str | None]:
    """Hold a GPU that no other job holds, where `ONE_GPU` asks for it; this process sees it alone.

    To be entered before CUDA is used.

    Yields:
        its name in `VISIBLE`; None where all that this process sees are its own: one, none, or not asked for.
    """
    seen = visible() if switch(ONE_GPU) else []
    if len(seen) < 2:
        yield None
        return
    before = os.environ.get(VISIBLE)
    gpu, lock = _free(seen)
    try:
        log.info("GPU %s of %s", gpu, ", ".join(seen))
        os.environ[VISIBLE] = gpu
        yield gpu
    finally:
        lock.release()
        os.environ.pop(VISIBLE)
        os.environ |= {VISIBLE: before} if before is not None else {}


def visible() -> list[str]:
    """Return the GPUs that this process sees, by their names in `VISIBLE`."""
    told = os.environ.get(VISIBLE)
    if told is not None:
        return [gpu for gpu in map(str.strip, told.split(",")) if gpu and gpu != "-1"]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _free(gpus: Sequence[str]) -> tuple[str, FileLock]:
    """Return a GPU with its lock, held; wait until there is one."""
    # Of this user: a file of somebody else could not be locked.
    folder = Path(tempfile.gettempdir(), f"prunescope-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', gpu)}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return gpu, lock
        if not waiting:
            log.info("all of the GPUs %s are taken: waiting", ", ".join(gpus))
        waiting = True
        time.sleep(POLL)
