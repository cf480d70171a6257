"""What the later steps need to know about a model without loading it (no torch here)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from prunescope.errors import DataError
from prunescope.files import read_json, write_json

BlockKind = Literal["attention", "mlp"]
KINDS: tuple[BlockKind, ...] = ("attention", "mlp")


@dataclass(frozen=True)
class BlockFacts:
    """One attention or MLP block.

    Attributes:
        layer: index of the decoder layer.
        block: ``"attention"`` (groups are GQA groups) or ``"mlp"`` (groups are intermediate channels).
        groups: number of groups.
        cost: parameters of one group.
        overhead: parameters that go only when the whole block goes (its norms, its output bias).
    """

    layer: int
    block: BlockKind
    groups: int
    cost: int
    overhead: int

    @property
    def parameters(self) -> int:
        return self.groups * self.cost


@dataclass(frozen=True)
class ModelFacts:
    """A model that is ready to load.

    Attributes:
        name: the name in the configuration and in paths.
        path: local folder with ``config.json``, ``*.safetensors`` and the tokenizer.
        origin: hub id, wheel or path that it came from; revision: resolved commit, or None.
        model_type: transformers' name of the architecture.
        dtype: dtype of the stored weights, for example ``"bfloat16"``.
        context: longest window in tokens.
        total_parameters: all parameters, tied ones once. decoder_parameters: those of the decoder layers.
        blocks: all prunable blocks, by layer, attention before MLP.
    """

    name: str
    path: str
    origin: str
    revision: str | None
    model_type: str
    dtype: str
    context: int
    layers: int
    total_parameters: int
    decoder_parameters: int
    blocks: tuple[BlockFacts, ...]

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "ModelFacts":
        """Read what `write` wrote.

        Raises:
            DataError: the checkpoint that it describes is gone.
        """
        content = read_json(path)
        if not Path(content["path"], "config.json").is_file():
            raise DataError(
                f"the checkpoint of {content['name']} is no longer in {content['path']}; obtain it again with "
                f"`snakemake --cores all --forcerun model -- {path}` (nothing else is computed again)"
            )
        blocks = tuple(BlockFacts(**block) for block in content.pop("blocks"))
        return cls(**content, blocks=blocks)
