"""What the refit of the output projections gave, block by block (no pydantic here: see `facts`)."""

from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar

from prunescope.artifacts.facts import ABOUT, STRICT, BlockKind


@dataclass(frozen=True)
class BlockFit:
    """The output projection of a block that loses some groups. Errors are of the residual stream after the block."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    layer: int = field(metadata={ABOUT: "Index of the decoder layer in the parent."})
    block: BlockKind = field(metadata={ABOUT: "`attention` or `mlp`."})
    ridge: float | None = field(
        metadata={ABOUT: "Damping, in units of the mean of diag(XᵀPX); null: no fit was better than the plain cut."}
    )
    cut_error: float = field(
        metadata={
            ABOUT: "After the plain cut of this block, those below being cut and fitted: what the stream lacks of the "
            "unpruned model's, as a share of its square, mean over the held-out tokens."
        }
    )
    error: float = field(metadata={ABOUT: "The same with what the checkpoint holds."})


@dataclass(frozen=True)
class RefitReport:
    """How the output projections were fitted to the unpruned model, and how they did on held-out tokens."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    tokens: int = field(metadata={ABOUT: "That the fits rest on."})
    held_out_tokens: int = field(metadata={ABOUT: "That decide the damping, and whether a fit is taken."})
    blocks: list[BlockFit] = field(metadata={ABOUT: "Every block that loses some groups and keeps some, upwards."})

    @property
    def fitted(self) -> list[BlockFit]:
        """The blocks whose fit was taken."""
        return [block for block in self.blocks if block.ridge is not None]

    @property
    def cut_error(self) -> float:
        """The mean error of the plain cut over all blocks; 0 where there is none."""
        return fmean(block.cut_error for block in self.blocks) if self.blocks else 0.0

    @property
    def error(self) -> float:
        """The mean error of what the checkpoint holds; 0 where there is no block."""
        return fmean(block.error for block in self.blocks) if self.blocks else 0.0
