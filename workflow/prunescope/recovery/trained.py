"""What is trained of a model, and the checkpoint that it is written into."""

import shutil
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.files import replacing_directory
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.weights import INDEX, write_shards


class Trained(Protocol):
    """Some parameters of a model in training, which it was changed in place to compute with."""

    parameters: list[nn.Parameter]

    def merged(self, name: str, weights: Tensor) -> Tensor:
        """Return what the checkpoint holds after training in place of a parameter, in its shape and dtype."""


class Student(nn.Module):
    """A model as it is trained: its parameters, and so its state on the disk, are only those that are trained."""

    model: nn.Module

    def __init__(self, model: nn.Module, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameters)
        object.__setattr__(self, "model", model)  # not as a module, whose other weights would be saved too

    def train(self, mode: bool = True) -> "Student":
        """Switch dropout and checkpointing of the model on or off."""
        self.model.train(mode)
        return super().train(mode)

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        """Return what the head reads, ``[batch, tokens, d]``, of token ids ``[batch, tokens]``."""
        return self.model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state

    @property
    def head(self) -> nn.Module:
        """The head of the model."""
        return self.model.get_output_embeddings()


def write_trained(trained: Trained, checkpoint: Path, output: Path) -> None:
    """Write a checkpoint with what was learned, tensor by tensor; shapes and dtypes stay.

    Args:
        checkpoint: what was trained.
    """
    source = open_checkpoint(checkpoint)
    with replacing_directory(output) as folder:
        write_shards(((name, trained.merged(name, source.read(name))) for name in source.in_file_order), folder)
        left_out = (INDEX, CheckpointFolder.card.path)
        for file in checkpoint.iterdir():
            # The card is written by the page step; hidden files are Snakemake's.
            if file.suffix == ".safetensors" or file.name in left_out or file.name.startswith("."):
                continue
            copy = shutil.copytree if file.is_dir() else shutil.copy
            copy(file, folder / file.name)
