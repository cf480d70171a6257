"""What the later steps need to know about a model without loading it (no torch here)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

BlockKind = Literal["attention", "mlp"]
KINDS: tuple[BlockKind, ...] = ("attention", "mlp")

ABOUT = "description"
"""What a field says about itself in `docs/files.md`: pydantic, which computing must do without, reads it."""

STRICT = {"extra": "forbid"}
"""An unknown key in the file is an error, as in a `Document`."""


@dataclass(frozen=True)
class BlockFacts:
    """One attention or MLP block of a model."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    layer: int = field(metadata={ABOUT: "Index of the decoder layer."})
    block: BlockKind = field(metadata={ABOUT: "`attention`: its groups are GQA groups; `mlp`: intermediate channels."})
    groups: int = field(metadata={ABOUT: "Number of groups."})
    cost: int = field(metadata={ABOUT: "Parameters of one group."})
    overhead: int = field(metadata={ABOUT: "Parameters that go only with the whole block: its norms, its output bias."})

    @property
    def parameters(self) -> int:
        return self.groups * self.cost


@dataclass(frozen=True)
class ModelFacts:
    """A model that is ready to load: where its checkpoint is, and its groups."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    name: str = field(metadata={ABOUT: "As in the configuration and in paths."})
    path: str = field(metadata={ABOUT: "Local folder with `config.json`, `*.safetensors` and the tokenizer."})
    origin: str = field(metadata={ABOUT: "Hub id, wheel or path that it came from."})
    revision: str | None = field(metadata={ABOUT: "Resolved commit of the hub, or null."})
    model_type: str = field(metadata={ABOUT: "Transformers' name of the architecture."})
    dtype: str = field(metadata={ABOUT: "Of the stored weights, such as `bfloat16`."})
    context: int = field(metadata={ABOUT: "Longest window, in tokens."})
    layers: int = field(metadata={ABOUT: "Number of decoder layers."})
    total_parameters: int = field(metadata={ABOUT: "All parameters, tied ones once."})
    decoder_parameters: int = field(metadata={ABOUT: "Those of the decoder layers."})
    blocks: tuple[BlockFacts, ...] = field(metadata={ABOUT: "All blocks, by layer, attention before MLP."})
    stock_groups: tuple[int, ...] = field(
        default=(),
        metadata={ABOUT: "How many GQA groups every layer may keep in a stock checkpoint; empty in a file of 0.2."},
    )

    def __post_init__(self) -> None:
        wanted = [(layer, kind) for layer in range(self.layers) for kind in KINDS]
        if [(block.layer, block.block) for block in self.blocks] != wanted:
            raise ValueError(f"blocks are not those of {self.layers} layers, attention before mlp, each once")
        if any(block.groups < 1 or block.cost < 1 or block.overhead < 0 for block in self.blocks):
            raise ValueError("blocks: groups and cost must be at least 1, and overhead at least 0")
