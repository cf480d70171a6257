"""The most memory that a block of code adds."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


@contextmanager
def extra_memory(device: torch.device, keep: Callable[[int], None]) -> Iterator[None]:
    """Call `keep` with the bytes that the block adds at most: of the allocator on a GPU, resident on a CPU.

    It is not called where the kernel does not tell (on other systems than Linux).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        extra = torch.cuda.max_memory_allocated(device) - before
    else:
        before = _resident("VmRSS") if _release_and_reset_peak() else None
        yield
        extra = None if before is None else max(0, _resident("VmHWM") - before)
    if extra is not None:
        keep(extra)


def _release_and_reset_peak() -> bool:
    """Start the kernel's record of the highest resident memory anew; return whether it let us.

    What earlier runs freed is returned first, or a run that uses it again would seem to need nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _resident(field_name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field_name}:"))
    return int(line.split()[1]) * 1024
