"""Logits of a checkpoint by transformers alone: a script that `verify` runs in a process of its own.

    python logits_alone.py CHECKPOINT WINDOWS.safetensors LOGITS.safetensors

WINDOWS holds int64 ``[n, tokens]`` by name, LOGITS float32 ``[n, tokens, vocab]`` by the same names. The script
imports nothing of the package that it lies in, and forbids the checkpoint to.
"""

import sys

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main(checkpoint: str, windows: str, output: str) -> None:
    sys.modules["prunescope"] = None  # importing it is an error from here on
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, trust_remote_code=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    texts = load_file(windows)
    try:
        logits = compute(model, texts, "cuda" if torch.cuda.is_available() else "cpu")
    except torch.OutOfMemoryError:  # of the GPU
        logits = compute(model, texts, "cpu")
    save_file(logits, output)


def compute(model: nn.Module, texts: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    model.to(device)
    return {name: torch.cat([model(row[None].to(device)).logits.cpu() for row in rows]) for name, rows in texts.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
