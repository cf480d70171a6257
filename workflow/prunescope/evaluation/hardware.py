"""What a measurement ran on."""

import os
import platform
from contextlib import suppress
from pathlib import Path

import torch

from prunescope.artifacts.perplexity import Hardware


def describe_hardware(device: torch.device) -> Hardware:
    """Return the names of the device and of the CPU, and how many cores and threads there are."""
    cpu = _cpu_name()
    return Hardware(
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        cpu=cpu,
        cpu_count=os.cpu_count(),
        threads=torch.get_num_threads(),
        system=f"{platform.system()} {platform.machine()}",
    )


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
