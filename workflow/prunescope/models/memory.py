"""How much memory a device has, and whether an error says that there was not enough."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from prunescope.models.cgroups import memory_left

log = logging.getLogger(__name__)

Result = TypeVar("Result")

NO_HOST_MEMORY = "can't allocate memory"
"""What PyTorch says then."""


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or that the system can hand out to this process."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return min([psutil.virtual_memory().available, *memory_left()])


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device, or the host, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or NO_HOST_MEMORY in str(error)


def release() -> None:
    """Give back what failed work held; its error must be gone, for it holds the frames."""
    gc.collect()
    torch.cuda.empty_cache()


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
