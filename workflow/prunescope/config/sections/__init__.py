"""The configuration as pydantic sections: one class per section of ``config/config.yaml``.

Every field has a default (or is required) and a description; ``config/README.md`` and
``workflow/schemas/config.schema.yaml`` are generated from these classes.
"""

from prunescope.config.sections.base import GGUF_TYPES, Dtype, GgufType, Section
from prunescope.config.sections.diagnosis import Diagnosis, Report
from prunescope.config.sections.evaluation import Efficiency, Evaluation, Recovery, Words, Zeroshot
from prunescope.config.sections.importance import (
    BlockLimits,
    Calibration,
    Corrections,
    EarlyLayers,
    Gradients,
    Limits,
    Method,
    Removal,
)
from prunescope.config.sections.outputs import Closeness, Export, GgufExport, Tracking
from prunescope.config.sections.repair import Refit, Repair, Scales
from prunescope.config.sections.search import Search
from prunescope.config.sections.sources import (
    DatasetSource,
    EmbeddedModel,
    EmbeddedText,
    Instruction,
    ModelSource,
    SplitNames,
    WheelMember,
)
from prunescope.config.sections.trial import Trial
from prunescope.config.sections.whole import Config, NamedExperiment, Settings, Sweep

__all__ = [
    "GGUF_TYPES", "BlockLimits", "Calibration",
    "Closeness", "Config", "Corrections", "DatasetSource", "Diagnosis", "Dtype", "EarlyLayers",
    "Efficiency", "EmbeddedModel", "EmbeddedText", "Evaluation", "Export", "GgufExport", "GgufType", "Gradients",
    "Instruction", "Limits", "Method", "ModelSource", "NamedExperiment", "Recovery", "Refit", "Removal", "Repair",
    "Report", "Scales", "Search", "Section", "Settings", "SplitNames", "Sweep", "Tracking", "Trial", "WheelMember",
    "Words", "Zeroshot",
]  # fmt: skip
