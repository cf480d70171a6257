"""How much memory a device has, and whether an error says that there was not enough."""

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch

from prunescope.environment import HOST_MEMORY, gibibytes

log = logging.getLogger(__name__)

Result = TypeVar("Result")

NO_HOST_MEMORY = "can't allocate memory"
"""What PyTorch says then."""


# Control groups limit the host's memory for a Slurm job, a pod, a container.
OWN = Path("/proc/self/cgroup")
VERSION_2 = Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"
VERSION_1 = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or that the system can hand out to this process (`HOST_MEMORY`: fewer).

    Raises:
        ConfigError: `HOST_MEMORY` is no number.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    limit = gibibytes(HOST_MEMORY)
    told = [] if limit is None else [int(limit * 2**30)]
    return min([psutil.virtual_memory().available, *memory_left(), *told])


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device, or the host, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or NO_HOST_MEMORY in str(error)


def release() -> None:
    """Give back what work held; after a failure its error must be gone, for it holds the frames."""
    gc.collect()
    torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Give back to the system what is freed: pieces below 32 MiB stay, and each layer of a large model leaves more."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim:
            trim(0)


def in_smaller_batches(work: Callable[[int], Result], batch_size: int) -> Result:
    """Return ``work(batch_size)``, with batches halved while memory runs out; for work that they do not change."""
    while True:
        try:
            return work(batch_size)
        except RuntimeError as error:
            if batch_size == 1 or not out_of_memory(error):
                raise
        release()
        log.warning("out of memory with %s windows at a time: trying %s", batch_size, batch_size // 2)
        batch_size //= 2


def gib(size: float) -> str:
    """Return bytes as text."""
    return f"{size / 2**30:.1f} GiB"


def memory_left() -> list[int]:
    """Return the bytes that are left in each group that has a limit; those of a group hold for all groups in it.

    Files that were read and can be dropped (`inactive_file`) are not counted as used, as Kubernetes does.
    """
    return [left for group in _groups() if (left := _left(*group)) is not None]


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    """Yield the folders of this process's groups, from the outermost on, and the names in them."""
    for line in OWN.read_text(encoding="utf-8").splitlines() if OWN.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            root, limit, used, cache = VERSION_1 if controllers else VERSION_2
            parts = path.strip("/").split("/")
            # In a container the path may be the host's, whose root is then the container's own group.
            yield from ((root.joinpath(*parts[:depth]), limit, used, cache) for depth in range(len(parts) + 1))


def _left(group: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        allowed = (group / limit).read_text(encoding="utf-8").strip()
        current = int((group / used).read_text(encoding="utf-8"))
        counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
    except OSError:
        return None  # no such group, or one that cannot have a limit
    return None if allowed == "max" else max(0, int(allowed) - current + int(counts.get(cache, 0)))
