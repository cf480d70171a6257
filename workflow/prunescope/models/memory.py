"""How much memory a device has, and whether an error says that there was not enough."""

import torch


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or that the system can hand out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device, or the host, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def gib(size: float) -> str:
    """Return bytes as text."""
    return f"{size / 2**30:.1f} GiB"
