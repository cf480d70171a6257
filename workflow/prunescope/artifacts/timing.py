"""What a gradient pass took, and how it kept its evidence."""

from pydantic import Field

from prunescope.artifacts.document import Document


class Timing(Document):
    """Times of a gradient pass, in seconds."""

    load_seconds: float = Field(description="To load the model.")
    compute_seconds: float = Field(description="Of the pass itself, in this run.")
    statistics_seconds: float = Field(description="Of that, for the statistics.")
    statistics_share: float = Field(description="`statistics_seconds` / `compute_seconds`.")
    tokens: int = Field(description="Of the calibration set.")
    tokens_per_second: float = Field(description="Of this run, without what an earlier one had done.")
    batch_size: int = Field(description="As used: less than configured where memory ran out.")
    checkpointing: bool = Field(description="Whether activations were computed twice to save memory.")
    resumed_after_batches: int = Field(description="Batches that an earlier run had done.")
    mode: str = Field(description="How gradients were kept: `accumulate`, `stream` or `gate`.")
    reason: str = Field(description="Why in this mode.")
