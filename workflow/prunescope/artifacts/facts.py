"""What the later steps need to know about a model without loading it (no torch here)."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from prunescope.artifacts.files import read_file
from prunescope.artifacts.formats import Json
from prunescope.errors import DataError

BlockKind = Literal["attention", "mlp"]
KINDS: tuple[BlockKind, ...] = ("attention", "mlp")

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class BlockFacts:
    """One attention or MLP block of a model."""

    layer: int = Field(description="Index of the decoder layer.")
    block: BlockKind = Field(description="`attention`: its groups are GQA groups; `mlp`: intermediate channels.")
    groups: int = Field(description="Number of groups.")
    cost: int = Field(description="Parameters of one group.")
    overhead: int = Field(description="Parameters that go only with the whole block: its norms, its output bias.")

    @property
    def parameters(self) -> int:
        return self.groups * self.cost


@dataclass(frozen=True, config=STRICT)
class ModelFacts:
    """A model that is ready to load: where its checkpoint is, and its groups."""

    name: str = Field(description="As in the configuration and in paths.")
    path: str = Field(description="Local folder with `config.json`, `*.safetensors` and the tokenizer.")
    origin: str = Field(description="Hub id, wheel or path that it came from.")
    revision: str | None = Field(description="Resolved commit of the hub, or null.")
    model_type: str = Field(description="Transformers' name of the architecture.")
    dtype: str = Field(description="Of the stored weights, such as `bfloat16`.")
    context: int = Field(description="Longest window, in tokens.")
    layers: int = Field(description="Number of decoder layers.")
    total_parameters: int = Field(description="All parameters, tied ones once.")
    decoder_parameters: int = Field(description="Those of the decoder layers.")
    blocks: tuple[BlockFacts, ...] = Field(description="All blocks, by layer, attention before MLP.")

    def write(self, path: Path) -> None:
        """Write as JSON."""
        Json(ModelFacts).write(path, self)

    @classmethod
    def read(cls, path: Path) -> "ModelFacts":
        """Read what `write` wrote.

        Raises:
            DataError: the file is missing or damaged, or the checkpoint that it describes is gone.
        """
        facts = read_file(Json(ModelFacts), path, "model")
        if not Path(facts.path, "config.json").is_file():
            raise DataError(
                f"the checkpoint of {facts.name} is no longer in {facts.path}; obtain it again with "
                f"`snakemake --cores all --forcerun model -- {path}` (nothing else is computed again)"
            )
        return facts
