"""What the diagnosis reports, and how."""

from typing import Literal

from pydantic import Field

from prunescope.config.sections.base import Rate, Section


class Diagnosis(Section):
    """Thresholds of the report, and what a critical finding does."""

    extreme_rate: Rate = Field(0.5, description="A layer is extreme when its attention, MLP or total rate is above.")
    extreme_share: Rate = Field(0.2, description="Share of extreme layers above which the finding is high.")
    early_layers: int = Field(5, ge=1, description="The first layers, where an extreme rate is critical.")
    scale_ratio: float = Field(1000.0, gt=1, description="Ratio of gradient means between layers that is a scale gap.")
    rate_spread: Rate = Field(0.9, description="Difference between the highest and lowest layer rate to report.")
    spike_z: float = Field(3.5, gt=0, description="Robust z-score (log scale) of a spike or valley in the gradients.")
    score_gap: float = Field(1000.0, gt=1, description="Ratio of the mean scores of blocks that is a score scale gap.")
    block_imbalance: Rate = Field(0.4, description="Difference of the total attention and MLP rates to report.")
    stability: float = Field(
        0.8, ge=-1, le=1, description="Rank correlation between halves of the calibration set below which to report."
    )
    unstable_share: Rate = Field(0.25, description="Share of layers below `stability` above which the finding is high.")
    correlation: float = Field(
        -0.3, ge=-1, le=0, description="Rank correlation of importance and rate that is clearly negative."
    )
    saturation: Rate = Field(
        0.5, description="Share of the blocks that a limit is for above which its deciding there is a saturation."
    )
    on_critical: Literal["warn", "fail"] = Field(
        "warn", description="`fail`: a critical finding stops the run before any weight is cut."
    )


class Report(Section):
    """How the diagnosis is worded and drawn; codes and JSON keys never change."""

    language: Literal["en", "zh"] = Field("en", description="Language of the report and of the plots.")
    reference: str | None = Field(
        None,
        description="Experiment of the same model to compare with, by name: adds `visualization/before_after.png` "
        "to all experiments but the reference itself.",
        examples=["taylor_T0_20_c4"],
    )
