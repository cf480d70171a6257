"""What the diagnosis reports, and how it is worded."""

from typing import Literal

from pydantic import Field

from prunescope.config.sections.base import Rate, Section


class Diagnosis(Section):
    """Thresholds of the findings, and what a critical one does."""

    extreme_rate: Rate = Field(0.5, description="A layer is extreme where its attention, MLP or total rate is above.")
    extreme_share: Rate = Field(0.2, description="Share of extreme layers above which to report them as too many.")
    early_layers: int = Field(5, ge=1, description="How many first layers: there an extreme rate is critical.")
    scale_ratio: float = Field(1000.0, gt=1, description="Ratio of largest to smallest gradient of layers to report.")
    rate_spread: Rate = Field(0.9, description="Difference of highest and lowest layer rate to report.")
    spike_z: float = Field(3.5, gt=0, description="Robust z-score (log scale) of a gradient spike or valley to report.")
    score_gap: float = Field(1000.0, gt=1, description="Ratio of largest to smallest mean score of blocks to report.")
    block_imbalance: Rate = Field(0.4, description="Difference of total attention and MLP rate to report.")
    worth: float = Field(
        0.05, gt=0, lt=1, description="Share of the perplexity that more text must promise to be more than a note."
    )
    stability: float = Field(0.8, ge=-1, le=1, description="Rank correlation of halves of the text to report below.")
    noise: float = Field(
        0.5, ge=-1, le=1, description="Their median over the layers, below which it is a high finding."
    )
    correlation: float = Field(
        -0.3, ge=-1, le=0, description="Rank correlation of importance and rate, reported above."
    )
    saturation: Rate = Field(0.5, description="A limit that binds more than this share of its blocks is too tight.")
    on_critical: Literal["warn", "fail"] = Field("warn", description="`fail`: a critical finding stops before the cut.")


class Report(Section):
    """How the diagnosis is worded and drawn; codes and JSON keys never change."""

    language: Literal["en", "zh"] = Field("en", description="Language of the report and of the plots.")
    reference: str | None = Field(
        None,
        description="Name of an experiment of the same model to compare the others with: each of them gets "
        "`visualization/before_after.png`.",
        examples=["taylor_T0_20_c4"],
    )
