"""Low-rank adapters by peft, and the checkpoint that they are merged into."""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.config.sections import Recovery
from prunescope.files import replacing_directory
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.weights import INDEX, write_shards

ADAPTER = "default"
"""What peft calls an adapter that has no name."""


def add_adapters(model: nn.Module, told: Recovery) -> PeftModel:
    """Put an adapter, float32, on every linear layer of a frozen model but the head; the model is changed in place.

    They begin as zero: the model computes what it did.
    """
    torch.manual_seed(told.seed)
    config = LoraConfig(
        r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, target_modules="all-linear", bias="none"
    )
    return get_peft_model(model, config)


def weight_changes(model: PeftModel) -> dict[str, LoraLayer]:
    """Return the adapted layers by the name of their weight in the model without adapters."""
    layers = model.get_base_model().named_modules()
    return {f"{name}.weight": layer for name, layer in layers if isinstance(layer, LoraLayer)}


@torch.no_grad()
def write_merged(model: PeftModel, checkpoint: Path, output: Path) -> None:
    """Write a checkpoint with what the adapters learned added to its weights; shapes and dtypes stay.

    The weights are read tensor by tensor and added to in float32 (or better), whatever the model computed in.

    Args:
        model: the adapters. checkpoint: what they were trained on.
    """
    source, changes = open_checkpoint(checkpoint), weight_changes(model)

    def merged(name: str) -> Tensor:
        weights = source.read(name)
        if name not in changes:
            return weights
        change = changes[name].get_delta_weight(ADAPTER).cpu()
        wide = torch.promote_types(weights.dtype, torch.float32)
        return (weights.to(wide) + change.to(wide)).to(weights.dtype)

    with replacing_directory(output) as folder:
        write_shards(((name, merged(name)) for name in source.in_file_order), folder)
        left_out = (INDEX, CheckpointFolder.card.path)
        for file in checkpoint.iterdir():
            # The card is written by the page step; hidden files are Snakemake's.
            if file.suffix == ".safetensors" or file.name in left_out or file.name.startswith("."):
                continue
            copy = shutil.copytree if file.is_dir() else shutil.copy
            copy(file, folder / file.name)
