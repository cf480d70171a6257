"""Whether two halves of the calibration set rank the groups of a layer alike (no pydantic here: see `facts`)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from prunescope.artifacts.facts import ABOUT, STRICT

Correlations = dict[int, float | None]
"""By layer, in [-1, 1]; None where there is nothing to compare."""


@dataclass(frozen=True)
class Stability:
    """Rank correlation of the saliency per parameter between even and odd batches."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    criterion: str = field(metadata={ABOUT: "That was compared."})
    layers: Correlations = field(
        metadata={
            ABOUT: "Spearman's rank correlation by layer, null where there is nothing to compare (a single batch)."
        }
    )
    samples: int = field(metadata={ABOUT: "Calibration windows of both halves together."})
    first_samples: int = field(
        metadata={ABOUT: "Those of the first half of the batches, see `first_half.safetensors`; 0: a single batch."}
    )
    others: dict[str, Correlations] = field(metadata={ABOUT: "Such `layers` of the other criteria that have halves."})
