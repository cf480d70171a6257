"""Other programs' formats, made when they are asked for."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import Field

from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.config.sections import GGUF_TYPES, Closeness, GgufExport, GgufType, Section
from prunescope.packages import LLAMA_CPP
from prunescope.steps.spec import ExperimentSpec, Planning
from prunescope.steps.step import Step
from prunescope.steps.work import Work


class GgufSpec(Section):
    """A GGUF file that agrees with the checkpoint, as closely as rounding lets it."""

    type: GgufType
    exact: Closeness
    rounded: Closeness | None = Field(None, description="For a quantised type.")
    pre_tokenizer: str | None = None

    @property
    def limits(self) -> Closeness:
        """How close a file must be."""
        return self.rounded or self.exact

    @classmethod
    def by(cls, export: GgufExport, kind: str) -> "GgufSpec":
        """Return what the configuration says about files of a type."""
        rounded = {"q8": export.eight_bit, "q4": export.four_bit}.get(kind[:2])
        return cls(type=cast(GgufType, kind), exact=export.exact, rounded=rounded, pre_tokenizer=export.pre_tokenizer)


def final(planned: Planning) -> str:
    """Return the folder of the final checkpoint, in the experiment's: of the trained one where there is one."""
    trained = planned.experiment.settings.recovery.enabled
    return (Own.recovered if trained else Own.checkpoint).path


class ExportSpec(ExperimentSpec):
    """Base of the specs of exports."""

    checkpoint: str = Field(Own.checkpoint.path, description="Its folder, in the experiment's.")


class GgufExportSpec(GgufSpec, ExportSpec):
    """Write a GGUF file for llama.cpp and compare it with the checkpoint."""

    step = "gguf"

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["GgufExportSpec"]:
        export = planned.experiment.export.gguf
        yield from (cls(**common, checkpoint=final(planned), **dict(GgufSpec.by(export, kind))) for kind in GGUF_TYPES)

    @property
    def task(self) -> str:
        return f"gguf_{self.type}"


class UniformSpec(ExportSpec):
    """Pad the checkpoint with zeros to a stock one and compare them."""

    step = "uniform"

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["UniformSpec"]:
        yield cls(**common, checkpoint=final(planned))


FINAL = (Own.checkpoint, Own.recovered)
"""The checkpoint, and the one that was trained after pruning where there is one."""

STEPS = (
    Step(
        GgufExportSpec,
        "export.steps:export_gguf",
        Own,
        needs=FINAL,
        on_request=True,
        package=LLAMA_CPP,
        work=Work(3, 15, gpu=False),
    ),
    Step(UniformSpec, "export.steps:export_uniform", Own, needs=FINAL, on_request=True, work=Work(3, 5, gpu=False)),
)
