"""The trial: settings that are measured before the cut."""

from typing import Any

from pydantic import Field

from prunescope.config.sections.base import Section


class Trial(Section):
    """What other settings would do, measured before the cut on held-out text, all of them in one sweep."""

    enabled: bool = Field(True, description="Whether to measure them.")
    samples: int = Field(
        16,
        ge=1,
        description="Windows per text, of `calibration.seq_len` tokens, from the validation split of the calibration "
        "text and of each evaluated text; no more than calibration has, and fewer where a split is shorter.",
    )
    candidates: tuple[dict[str, Any], ...] = Field(
        (),
        description="Changes of the experiment to measure beside the usual ones, in the words of `sweeps: variants`: "
        "of `method` (but for its ratio), `corrections` and `limits`.",
        examples=[[{"criterion": "gate", "T": 1, "tau": "inf"}, {"max": 40, "limits.protect": [0]}]],
    )
