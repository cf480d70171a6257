"""What is done to the pruned weights before they are written."""

from typing import Annotated

from pydantic import Field, field_validator

from prunescope.config.sections.base import Dtype, Section

Ridge = Annotated[float, Field(ge=0)]


class Refit(Section):
    """The kept columns of each output projection, fitted to the unpruned block by damped least squares."""

    enabled: bool = Field(False, description="Whether to fit; `refit` in a name switches it on.")
    tokens: int = Field(
        65536,
        ge=16,
        description="Tokens of the calibration split, an eighth of them held out; fewer where a text is short.",
    )
    seq_len: int = Field(512, ge=8, description="Tokens per window.")
    ridge: tuple[Ridge, ...] = Field(
        (0.01, 0.1, 1.0),
        min_length=1,
        description="Dampings to choose from, block by block, by the error on held-out tokens; in units of the mean of "
        "diag(XᵀX).",
    )
    dtype: Dtype = Field(
        "auto", description="Dtype of the forward passes; auto: bfloat16 on hardware that has it, else float32."
    )

    @field_validator("ridge")
    @classmethod
    def _in_one_order(cls, ridge: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(ridge)))


class Repair(Section):
    """What is done to the pruned weights before they are written."""

    refit: Refit = Field(Refit(), description="A least-squares fit of the output projections.")
