"""What the machine has: Python, PyTorch, devices, memory, disk, network, a cluster."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prunescope.artifacts.folders import RESULTS
from prunescope.errors import ConfigError
from prunescope.packages import SLURM, installing
from prunescope.runs.checks import Check, Status

LITTLE_MEMORY = 4 * 2**30
"""Bytes of memory below which even the embedded model is slow or fails."""
LITTLE_DISK = 2 * 2**30
"""Bytes of disk that the results of the embedded model, and what libraries cache, may take."""
TIMEOUT = 4
"""Seconds to wait for the hub."""
AGAIN = "set the environment up again (`make demo`, or `pip install -c requirements.lock -e .`)"


def machine() -> Iterator[Check]:
    """Look at what computes."""
    yield Check("Python", "ok", f"{sys.version.split()[0]} ({sys.prefix})")
    try:
        import torch
        import transformers
    except (ImportError, OSError) as error:  # a library that the system lacks is an OSError
        yield Check("PyTorch", "missing", f"cannot be imported: {str(error).splitlines()[0]}", AGAIN)
        return
    yield Check("PyTorch", "ok", f"{torch.__version__}, transformers {transformers.__version__}")
    yield from _devices()
    yield from _bfloat16()
    yield from _memory()
    yield from _cluster()


def _devices() -> Iterator[Check]:
    import torch

    from prunescope.models.memory import gib

    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found = f"{torch.cuda.get_device_name(index)}, {gib(free)} of {gib(total)} free"
        taken = free < total / 2
        yield Check(f"GPU {index}", "note" if taken else "ok", found, "somebody else uses it" if taken else "")
    if torch.cuda.is_available():
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if Path("/dev/nvidia0").exists():
        found = f"PyTorch {torch.__version__} does not see the NVIDIA GPU of this machine: {cores} CPU cores compute"
        yield Check("device", "note", found, "install a build of PyTorch that suits the driver (`nvidia-smi` names it)")
    else:
        yield Check("device", "ok", f"no GPU: {cores} CPU cores compute")


def _bfloat16() -> Iterator[Check]:
    import torch

    from prunescope.models.loading import compute_dtype, default_device, native_bfloat16

    device = default_device()
    if device.type == "cuda":
        native = compute_dtype("auto", device) is torch.bfloat16
    else:
        native = native_bfloat16()
    slow = "not in hardware: `auto` computes in float32, which takes twice the memory and more time"
    yield Check("bfloat16", "ok" if native else "note", "in hardware" if native else slow)


def _memory() -> Iterator[Check]:
    import psutil
    import torch

    from prunescope.models.memory import free_memory, gib, memory_left

    system, left = psutil.virtual_memory(), memory_left()
    try:
        free = free_memory(torch.device("cpu"))
    except ConfigError:  # a variable that is wrong has a row of its own
        free = min([system.available, *left])
    found = f"{gib(free)} free of {gib(system.total)}"
    if left and min(left) < system.available:
        found += f" (a control group leaves {gib(min(left))}, the system {gib(system.available)})"
    advice = (
        "free the machine of other work, or ask for more memory (Slurm: `mem_mb` in `set-resources` of profiles/slurm)"
    )
    little = free < LITTLE_MEMORY
    yield Check("memory", "note" if little else "ok", found, advice if little else "")


def _cluster() -> Iterator[Check]:
    if not shutil.which("sbatch"):
        yield Check("Slurm", "ok", "no `sbatch` here: jobs run on this machine")
    elif SLURM.installed:
        yield Check("Slurm", "ok", "`sbatch` is here: snakemake --workflow-profile profiles/slurm TARGET")
    else:
        yield Check("Slurm", "note", "`sbatch` is here, Snakemake's executor for it is not", installing(SLURM.extra))


def disks(checkpoints: Iterable[int]) -> Iterator[Check]:
    """Look at the disk of the results and that of temporary files.

    Args:
        checkpoints: bytes of the models of the experiments to come, each of which is written once more.
    """
    needed = max(LITTLE_DISK, sum(checkpoints))
    yield _disk("disk", Path(RESULTS), needed, "free some, or make results/ a link to another disk")
    yield _disk("temporary files", Path(tempfile.gettempdir()), 0, "free some, or set TMPDIR")


def _disk(name: str, folder: Path, needed: int, advice: str) -> Check:
    from prunescope.models.memory import gib

    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    found = f"{gib(free)} free in {folder}"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(2**20))
    except OSError as error:
        return Check(name, "missing", f"{found}, and nothing can be written there: {error.strerror}", advice)
    if free < needed:
        return Check(name, "missing", f"{found}; about {gib(needed)} are needed", advice)
    return Check(name, "ok", found)


def network(needed: Collection[str]) -> Iterator[Check]:
    """Look whether the hub answers.

    Args:
        needed: what has to come from there.
    """
    from huggingface_hub import constants

    status: Status = "missing" if needed else "note"
    purpose = f"needed for {', '.join(needed)}" if needed else "the targets need nothing from it"
    local = "give local copies as `path` (docs/your-model.md)"
    if constants.HF_HUB_OFFLINE:
        yield Check("hub", status, f"HF_HUB_OFFLINE is set; {purpose}", f"unset it, or {local}" if needed else "")
        return
    started = time.time()
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT):
            yield Check("hub", "ok", f"{constants.ENDPOINT} answers in {time.time() - started:.1f} s; {purpose}")
    except HTTPError as error:
        yield Check(
            "hub",
            status,
            f"{constants.ENDPOINT} answers with HTTP {error.code}; {purpose}",
            f"see HF_ENDPOINT, HTTPS_PROXY, or {local}",
        )
    except OSError as error:
        reason = getattr(error, "reason", error)
        yield Check(
            "hub",
            status,
            f"{constants.ENDPOINT} does not answer ({reason}); {purpose}",
            f"see HF_ENDPOINT and HTTPS_PROXY, or {local}",
        )
