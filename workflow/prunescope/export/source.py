"""The checkpoint to export: the shapes of its layers and its parameters, pruned or not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PretrainedConfig

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.errors import DataError
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.families import family_name
from prunescope.models.stock import LayerShape


@dataclass(frozen=True)
class Source:
    """A checkpoint folder to export, opened by `open_source`.

    Attributes:
        config: its configuration; of a pruned model, widths are to be asked per layer.
        content: config.json as it is, with the parent's widths.
        family: the stock architecture, for example ``"llama"``.
        layers: by index. parameters: name -> shape, tied ones once, in the order of the model.
        read: returns a parameter by name, in its stored dtype.
    """

    folder: Path
    config: PretrainedConfig
    content: dict[str, Any]
    family: str
    layers: tuple[LayerShape, ...]
    parameters: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]

    @property
    def head_dim(self) -> int:
        """The configuration's, which need not be hidden / heads."""
        return self.content.get("head_dim") or self.content["hidden_size"] // self.content["num_attention_heads"]

    @property
    def even(self) -> bool:
        """Whether all layers have the same shape, as in a stock model."""
        return len(set(self.layers)) == 1

    @property
    def context(self) -> int:
        """Tokens of the longest text that needs no sliding window: llama.cpp attends to everything."""
        longest: int = self.config.max_position_embeddings
        return min(longest, getattr(self.config, "sliding_window", None) or longest)


def open_source(folder: Path) -> Source:
    """Read what a checkpoint folder says of itself; weights are read one by one, when asked for.

    Raises:
        DataError: the folder holds no checkpoint, or see `open_checkpoint`.
    """
    file = CheckpointFolder(folder).config
    if not file.exists():
        raise DataError(f"{folder} holds no checkpoint (no {file.path.name}): run the experiment first")
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    return Source(
        folder=folder,
        config=config,
        content=file.read(),
        family=family_name(config.model_type),
        layers=tuple(_shape(config, index) for index in range(config.num_hidden_layers)),
        parameters={name: stored.shape for name, stored in checkpoint.tensors.items()},
        read=checkpoint.read,
    )


def _shape(config: PretrainedConfig, index: int) -> LayerShape:
    own = config.per_layer_config[index] if config.model_type.startswith("pruned_") else config
    skip = getattr(own, "skip", ())
    heads, kv_heads = (0, 0) if "attention" in skip else (own.num_attention_heads, own.num_key_value_heads)
    return LayerShape(heads, kv_heads, 0 if "mlp" in skip else own.intermediate_size)
