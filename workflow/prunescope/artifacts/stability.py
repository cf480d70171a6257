"""Whether two halves of the calibration set rank the groups of a layer alike."""

from pydantic import Field

from prunescope.artifacts.document import Document, Known

Correlations = dict[int, Known]
"""By layer, in [-1, 1]; None where there is nothing to compare."""


class Stability(Document):
    """Rank correlation of the saliency per parameter between even and odd batches."""

    criterion: str = Field(description="That was compared.")
    layers: Correlations = Field(
        description="Spearman's rank correlation by layer, null where there is nothing to compare (a single batch)."
    )
    samples: int = Field(description="Calibration windows of both halves together.")
    others: dict[str, Correlations] = Field(description="Such `layers` of the other criteria that have halves.")
