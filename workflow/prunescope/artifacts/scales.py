"""What the factors of the kept groups gave (no pydantic here: see `facts`)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from prunescope.artifacts.facts import ABOUT, STRICT, BlockKind


@dataclass(frozen=True)
class HeldOutLoss:
    """Means over the predicted tokens of the held-out windows, in nats."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    ce: float = field(metadata={ABOUT: "Cross-entropy."})
    kl: float = field(metadata={ABOUT: "KL divergence from the unpruned model."})


@dataclass(frozen=True)
class BlockFactors:
    """The factors of a block that loses some groups and keeps some."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    layer: int = field(metadata={ABOUT: "Index of the decoder layer in the parent."})
    block: BlockKind = field(metadata={ABOUT: "`attention` or `mlp`."})
    mean: float
    smallest: float
    largest: float


@dataclass(frozen=True)
class ScalesReport:
    """Factors of the kept groups as they were trained, and what they gave on held-out windows."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    tokens: int = field(metadata={ABOUT: "That they were trained on."})
    held_out_tokens: int = field(metadata={ABOUT: "That decide whether they are taken."})
    kl_weight: float = field(metadata={ABOUT: "Of KL beside cross-entropy."})
    before: HeldOutLoss = field(metadata={ABOUT: "Without factors: the cut, refitted where there was a refit."})
    after: HeldOutLoss = field(metadata={ABOUT: "With the factors folded in, in the dtype that is stored."})
    blocks: list[BlockFactors] = field(metadata={ABOUT: "Every block that has factors, upwards."})

    @property
    def loss_before(self) -> float:
        """What was made small, without factors."""
        return self.before.ce + self.kl_weight * self.before.kl

    @property
    def loss(self) -> float:
        """The same with them."""
        return self.after.ce + self.kl_weight * self.after.kl

    @property
    def taken(self) -> bool:
        """Whether the held-out loss fell, so that the checkpoint has the factors."""
        return self.loss < self.loss_before
