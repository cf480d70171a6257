"""What is done to the pruned weights before they are written."""

from typing import Annotated

from pydantic import Field, field_validator

from prunescope.config.sections.base import Dtype, Section

Ridge = Annotated[float, Field(ge=0)]


class Refit(Section):
    """The kept columns of each output projection, fitted to the unpruned model by damped least squares."""

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
        "diag(XᵀPX). Trial and search refit with the one in the middle.",
    )
    dtype: Dtype = Field(
        "auto", description="Dtype of the forward passes; auto: bfloat16 on hardware that has it, else float32."
    )

    @field_validator("ridge")
    @classmethod
    def _in_one_order(cls, ridge: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(ridge)))

    @property
    def middle(self) -> float | None:
        """The damping of what is measured before the cut; None: plain cuts are measured."""
        return self.ridge[len(self.ridge) // 2] if self.enabled else None


class Scales(Section):
    """One factor per kept group of every pruned block, trained end to end and folded into the output projection.

    The text is the refit's (`repair.refit.tokens` and `seq_len`, with or without a refit), which holds out the same
    windows.
    """

    enabled: bool = Field(False, description="Whether to train them; `scales` in a name switches it on.")
    tokens: int = Field(16384, ge=8, description="Tokens to train on, whole steps, each once at most.")
    batch_size: int = Field(1, ge=1, description="Windows per step.")
    learning_rate: float = Field(0.01, gt=0, description="First learning rate of Adam, which falls to 0.")
    kl_weight: float = Field(
        2.0, ge=0, description="Weight of the KL divergence from the unpruned model beside cross-entropy."
    )
    dtype: Dtype = Field(
        "auto",
        description="Dtype to compute in (factors are float32); auto: bfloat16 on hardware that has it, else float32.",
    )
    checkpointing: bool = Field(False, description="Recompute activations: less memory, a third more time.")


class Repair(Section):
    """What is done to the pruned weights before they are written."""

    refit: Refit = Field(Refit(), description="A least-squares fit of the output projections.")
    scales: Scales = Field(Scales(), description="A factor per kept group, after the refit if there is one.")

    @property
    def enabled(self) -> bool:
        """Whether anything is done."""
        return self.refit.enabled or self.scales.enabled
