"""Logits of a checkpoint by transformers alone, in a process of its own that cannot import this package.

The process runs this file: ``python -I logits_alone.py CHECKPOINT WINDOWS.safetensors LOGITS.safetensors``. What needs
the package is therefore imported by the functions of the other process.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM


def logits_of_checkpoint(checkpoint: Path, windows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the logits of a checkpoint, float32 ``[n, tokens, vocab]``, of windows, int64 ``[n, tokens]``, by name.

    Raises:
        PrunescopeError: it does not load or run. CannotCheckError: for want of memory.
    """
    from prunescope.errors import PrunescopeError
    from prunescope.export.checks import CannotCheckError
    from prunescope.models.memory import NO_HOST_MEMORY
    from prunescope.models.stored import stored_tensors

    stored_tensors(checkpoint)
    with TemporaryDirectory() as folder:
        files = Path(folder, "windows.safetensors"), Path(folder, "logits.safetensors")
        save_file({name: rows.contiguous() for name, rows in windows.items()}, files[0])
        done = subprocess.run(
            [sys.executable, "-I", __file__, checkpoint.resolve(), *files],
            env=os.environ | {"HF_MODULES_CACHE": folder, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode == -signal.SIGKILL or NO_HOST_MEMORY in done.stderr:
            raise CannotCheckError(f"the host has not the memory to run {checkpoint} in float32")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PrunescopeError(f"{checkpoint} does not run with transformers alone: {reason}")
        return load_file(files[1])


# --- in the other process -------------------------------------------------------------------------------


@torch.no_grad()
def main(checkpoint: str, windows: str, output: str) -> None:
    sys.modules["prunescope"] = None  # type: ignore[assignment]  # importing it is an error from here on
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, trust_remote_code=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    texts = load_file(windows)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        logits = compute(model.to(device), texts, device)
    except torch.OutOfMemoryError:  # of the GPU
        logits = compute(model.to("cpu"), texts, "cpu")
    save_file(logits, output)


def compute(model: nn.Module, texts: dict[str, Tensor], device: str | torch.device) -> dict[str, Tensor]:
    """Return the logits of a model on a device, on windows by name."""
    return {name: torch.cat([model(row[None].to(device)).logits.cpu() for row in rows]) for name, rows in texts.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
