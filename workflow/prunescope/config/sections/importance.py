"""From calibration to selection: what is measured, how it is scored, and the limits of the cut."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from prunescope.config.sections.base import Dtype, Percentile, Rate, Section, Tau
from prunescope.criteria import AUTO, CRITERIA, CriterionChoice, CriterionName, in_words, not_scored


class Calibration(Section):
    """The text that importance is measured on."""

    samples: int = Field(128, ge=1, description="Number of windows.")
    seq_len: int = Field(512, ge=8, description="Tokens per window; documents are packed, nothing is padded.")
    seed: int = Field(0, ge=0, description="Seed that chooses the documents.")


class Gradients(Section):
    """The gradient pass: every listed criterion is scored in one pass."""

    criteria: tuple[CriterionName, ...] = Field(
        tuple(CRITERIA), min_length=1, description="Criteria to score; those that the mode cannot score are left out."
    )
    mode: Literal["auto", "accumulate", "layered", "stream", "gate"] = Field(
        "auto",
        description="`accumulate`: keep the mean gradient in float32, for all criteria; `layered`: the same, layer by "
        "layer, with the memory of one, a third more work; `stream`: keep nothing, for all but "
        f"{in_words(not_scored('stream'))}; `gate`: no gradient of a weight, a third less work, for all but "
        f"{in_words(not_scored('gate'))}; `auto`: accumulate where that fits into memory, else layered.",
    )
    batch_size: int = Field(8, ge=1, description="Windows per batch; halved while they do not fit into memory.")
    dtype: Dtype = Field("auto", description="Compute dtype; auto: bfloat16 on hardware that has it, else float32.")

    @field_validator("criteria")
    @classmethod
    def _in_one_order(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in CRITERIA if name in criteria)


class Removal(Section):
    """The prior of T > 0: the increase of the loss without attention, MLP or both, for each of L layers (3L runs)."""

    estimate: Literal["exact", "first_order"] = Field(
        "exact",
        description="`exact`: run the model without each block; `first_order`: estimate the change per token from one "
        "gradient, the work of 2 forward passes instead of about 50 (30 layers): a similar order on another scale.",
    )
    samples: int | None = Field(None, ge=1, description="Calibration windows used; null: all of them.")
    dtype: Dtype = Field("auto", description="Compute dtype; auto: bfloat16 on hardware that has it, else float32.")


class Method(Section):
    """How importance becomes a decision; the name of an experiment sets most of it."""

    criterion: CriterionChoice = Field(
        "taylor",
        description="How saliency is measured: "
        + "; ".join(f"`{name}`: {criterion.meaning}" for name, criterion in CRITERIA.items())
        + f". `{AUTO}`: a search finds it (section `search`), and with it all settings of `method`, `corrections` and "
        "`limits` that are at their default and that it can move.",
    )
    temperature: float = Field(0.0, ge=0, description="T: exponent of the prior; 0: no prior is computed.")
    tau: Tau = Field(
        0.0,
        description="A layer whose removal costs less than tau uses the prior of the whole layer instead of those of "
        "its blocks. 0: block-wise, inf: layer-wise, auto: the 25th percentile.",
    )
    ratio: float = Field(0.2, gt=0, lt=1, description="Fraction of all parameters to remove.")
    prior: Literal["removal", "similarity"] = Field(
        "removal",
        description="What the prior measures. `removal`: the increase of the loss without the block; `similarity`: "
        "1 - cosine of the residual stream before and after it (one forward pass).",
    )
    combine: Literal["multiply", "share"] = Field(
        "multiply",
        description="`multiply`: score = saliency / cost x ln(1 + prior)^T; `share`: the block's prior is shared out "
        "among its groups by saliency, then divided by cost (T is not used).",
    )
    prior_floor: float = Field(1e-4, ge=0, description="Smallest prior under `share`: keeps the order in a block.")

    @property
    def needs_prior(self) -> bool:
        """Whether the prior must be measured."""
        return self.searched or self.combine == "share" or self.temperature > 0

    @property
    def searched(self) -> bool:
        """Whether the settings are yet to be found."""
        return self.criterion == AUTO


class Corrections(Section):
    """Corrections of the scores before selection, all off by default; gradients are never changed."""

    normalize: Literal["log", "sqrt", "minmax", "zscore"] | None = Field(
        None,
        description="Rescale saliency x: `log` ln(1 + x / mean), `sqrt` of x / mean, `minmax` to [0, 1], `zscore` "
        "shifted to be positive. All of them keep the order within a scope.",
    )
    scope: Literal["block", "layer"] = Field("block", description="What is rescaled and clipped together.")
    clip: tuple[Percentile, Percentile] | None = Field(
        None, description="Clip saliency to these percentiles of its scope.", examples=[[5, 95]]
    )
    mean: bool = Field(False, description="Divide each block's saliency by its mean: one scale for all blocks.")
    depth_weight: float = Field(0.0, ge=0, description="w: scores of layer l are multiplied by 1 + (1 - l / L) w.")
    attention_weight: float = Field(
        1.0, ge=1e-3, le=1e3, description="Scores of attention are multiplied by it; above 1, more of the MLPs goes."
    )
    power: float = Field(
        1.0,
        gt=0,
        le=4,
        description="p: exponent of saliency within a block, (x / mean)^p; above 1, blocks differ more from each other "
        "by their least groups.",
    )
    block_power: float = Field(
        1.0, ge=0, le=4, description="q: exponent of the mean saliency of a block, mean^q; 0: one scale for all blocks."
    )

    @field_validator("clip")
    @classmethod
    def _ascending(cls, clip: tuple[float, float] | None) -> tuple[float, float] | None:
        if clip is not None and clip[0] >= clip[1]:
            raise ValueError("the first percentile must be below the second")
        return clip


class BlockLimits(Section):
    """Limits for one kind of block, tighter than the general ones."""

    min_rate: Rate | None = Field(None, description="Smallest fraction of each such block that must go.")
    max_rate: Rate | None = Field(None, description="Largest fraction of each such block that may go.")


class EarlyLayers(Section):
    """A stricter limit for the first layers."""

    count: int = Field(5, ge=1, description="How many layers, from the first.")
    max_rate: Rate = Field(0.3, description="Largest fraction of each of their blocks that may go.")


UNEVEN = ("early_layers", "protect", "collapse_below")
"""Limits that treat some layers otherwise than others."""


class Limits(Section):
    """What selection may not do; all but the width multiple is off by default."""

    min_rate: Rate | None = Field(None, description="Smallest fraction of every attention or MLP block that must go.")
    max_rate: Rate | None = Field(None, description="Largest fraction of every attention or MLP block that may go.")
    attention: BlockLimits = Field(BlockLimits(), description="Limits for attention blocks alone.")
    mlp: BlockLimits = Field(BlockLimits(), description="Limits for MLP blocks alone.")
    early_layers: EarlyLayers | None = Field(None, description="A stricter limit for the first layers.")
    protect: tuple[int, ...] = Field((), description="Layers that keep everything; negative: from the end.")
    collapse_below: Rate | None = Field(None, description="Remove blocks whole that would keep less than this.")
    width_multiple: int = Field(32, ge=1, description="Kept MLP widths are multiples of it (fast kernels want 32).")
    widths: Literal["free", "uniform"] = Field(
        "free",
        description="`free`: every layer has its own; `uniform`: all layers keep the same numbers of GQA groups and of "
        "MLP channels, so that stock programs load the checkpoint.",
    )

    @model_validator(mode="after")
    def _uniform_in_all_layers(self) -> "Limits":
        for name in UNEVEN:
            if self.widths == "uniform" and getattr(self, name):
                raise ValueError(
                    f"widths = uniform keeps the same in all layers, and {name} treats some otherwise: drop one of them"
                )
        return self
