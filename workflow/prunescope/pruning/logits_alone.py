"""Logits of a checkpoint by transformers alone: a script that `verify` runs in a process of its own.

    python logits_alone.py CHECKPOINT WINDOWS.safetensors LOGITS.safetensors

WINDOWS holds int64 ``[n, tokens]`` by name, LOGITS float32 ``[n, tokens, vocab]`` by the same names. The script
imports nothing of the package that it lies in, and forbids the checkpoint to.
"""

import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main(checkpoint: str, windows: str, output: str) -> None:
    sys.modules["prunescope"] = None  # importing it is an error from here on
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, trust_remote_code=True, use_safetensors=True, dtype=torch.float32
    )
    model.to(device).eval()
    rows = {name: [model(row[None].to(device)).logits for row in rows] for name, rows in load_file(windows).items()}
    save_file({name: torch.cat(logits).cpu() for name, logits in rows.items()}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
