"""What each step is told: one frozen class per step, passed to the command line as one line of JSON.

A spec holds exactly what the step's result depends on. `version` is raised by hand when the numbers
of a step change; a comment edit must not re-run a GPU hour.
"""

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from prunescope.config.commands import START
from prunescope.config.leakage import Leakage
from prunescope.config.sections import (
    Calibration,
    Closeness,
    Corrections,
    DatasetSource,
    Diagnosis,
    Dtype,
    Efficiency,
    GgufExport,
    GgufType,
    Gradients,
    Limits,
    Method,
    ModelSource,
    Recovery,
    Removal,
    Report,
    Section,
    Settings,
    Zeroshot,
)


class Spec(Section):
    """Base of all specs."""

    step: ClassVar[str]
    version: int

    def text(self) -> str:
        """Return the spec as one line of JSON, keys sorted."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> str:
        """Return eight hex digits that identify the spec and its step."""
        return hashlib.sha256(f"{self.step}:{canonical(self.identity())}".encode()).hexdigest()[:8]

    def identity(self) -> dict[str, Any]:
        """Return the part of the spec that decides the result."""
        return self.model_dump(mode="json", exclude_none=True)


class ModelSpec(Spec):
    """Obtain a model."""

    step: ClassVar[str] = "model"
    version: int = 1
    name: str
    source: ModelSource
    fingerprint: str | None = Field(None, description="Of the files of a local copy; stands for its path.")

    def identity(self) -> dict[str, Any]:
        left_out = {"path", "hub", "revision"} if self.fingerprint else set()
        source = self.source.model_dump(mode="json", exclude=left_out, exclude_none=True)
        return {"version": self.version, "source": source, "fingerprint": self.fingerprint}


class TextSpec(Section):
    """A text and, for local files, what stands for their paths."""

    source: DatasetSource
    fingerprint: str | None = None

    def identity(self) -> dict[str, Any]:
        left_out = {"local", "path"} if self.fingerprint else set()
        return {
            "source": self.source.model_dump(mode="json", exclude=left_out, exclude_none=True),
            "fingerprint": self.fingerprint,
        }


class CalibrationSpec(Calibration, Spec):
    """Draw and tokenise calibration windows."""

    step: ClassVar[str] = "calibration"
    version: int = 1
    model: str
    dataset: str
    texts: dict[str, TextSpec] = Field(description="The text, or the texts of a mixture, by name.")
    weights: dict[str, float] = Field({}, description="Of a mixture.")

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"texts": {name: text.identity() for name, text in self.texts.items()}}


class RecoveryTextSpec(CalibrationSpec):
    """Draw and tokenise what recovery trains on: as many windows as there are, if the text is short."""

    step: ClassVar[str] = "recovery_text"


class GradientsSpec(Gradients, Spec):
    """Score every criterion in one gradient pass."""

    step: ClassVar[str] = "gradients"
    version: int = 2
    model: str
    calibration: str


class RemovalSpec(Removal, Spec):
    """Measure what each block and each layer is worth: the prior."""

    step: ClassVar[str] = "removal"
    version: int = 1
    prior: Literal["removal", "similarity"]
    model: str
    calibration: str

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the estimate where it decides nothing, so that keys from before there was one hold."""
        content = dump(self)
        if self.estimate == "exact" or self.prior == "similarity":
            del content["estimate"]
        return content


class EvaluationTextSpec(Spec):
    """Cut the evaluation tokens of every text and protocol."""

    step: ClassVar[str] = "evaluation_text"
    version: int = 2
    model: str
    texts: dict[str, TextSpec]
    protocols: tuple[str, ...]
    max_tokens: int

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"texts": {name: text.identity() for name, text in self.texts.items()}}


class BaselineSpec(Spec):
    """Evaluate the unpruned model."""

    step: ClassVar[str] = "baseline"
    version: int = 2
    model: str
    evaluation_text: str
    dtype: Dtype


class ZeroshotBaselineSpec(Zeroshot, Spec):
    """Run the zero-shot tasks on the unpruned model."""

    step: ClassVar[str] = "zeroshot_baseline"
    version: int = 1
    model: str
    dtype: Dtype
    fingerprint: str | None = Field(None, description="Of the files of `task_dir`; stands for its path.")

    def identity(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"task_dir"}, exclude_none=True)


class ExperimentSpec(Spec):
    """Base of the specs of an experiment's own steps."""

    model: str
    experiment: str

    @property
    def record_key(self) -> str:
        """Return the key of the step's record, from which tracking sees what the step was told."""
        return f"{self.experiment}-{self.digest()}"


class ImportanceSpec(ExperimentSpec):
    """Score the groups and select what goes."""

    step: ClassVar[str] = "importance"
    version: int = 2
    gradients: str
    removal: str | None = None
    method: Method
    corrections: Corrections
    limits: Limits


class DiagnosisSpec(ExperimentSpec):
    """Explain the selection. Beside the thresholds: what is in force and need not be advised."""

    step: ClassVar[str] = "diagnosis"
    version: int = 2
    diagnosis: Diagnosis
    report: Report
    calibration: Calibration
    gradients: Gradients
    method: Method
    corrections: Corrections
    limits: Limits
    calibration_texts: tuple[str, ...] = ()
    evaluation_texts: tuple[str, ...] = ()
    leakage: dict[str, Leakage] = Field({}, description="Of each evaluated text.")
    start: str = Field(START, description="How the run was started, up to the target: for the commands it suggests.")

    def identity(self) -> dict[str, Any]:
        """Return the part that decides the findings; how the run was started decides none."""
        return self.model_dump(mode="json", exclude={"start"}, exclude_none=True)


class BeforeAfterSpec(ExperimentSpec):
    """Draw the rates of an experiment beside those of its reference."""

    step: ClassVar[str] = "before_after"
    version: int = 1
    reference: str
    changes: dict[str, tuple[str, str]] = Field({}, description="Settings that differ: value of either, as YAML.")


class PruningSpec(ExperimentSpec):
    """Cut the weights and write the checkpoint."""

    step: ClassVar[str] = "pruning"
    version: int = 1


class EvaluationSpec(ExperimentSpec):
    """Evaluate the pruned model."""

    step: ClassVar[str] = "evaluation"
    version: int = 2
    baseline: str
    dtype: Dtype
    leakage: dict[str, Leakage] = Field(description="Of each evaluated text.")


class ZeroshotSpec(Zeroshot, ExperimentSpec):
    """Run the zero-shot tasks on the final checkpoint."""

    step: ClassVar[str] = "zeroshot"
    version: int = 1
    baseline: str = Field(description="Key of the same tasks on the unpruned model; stands for the path of `task_dir`.")
    dtype: Dtype

    def identity(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"task_dir"}, exclude_none=True)


class EfficiencySpec(Efficiency, ExperimentSpec):
    """Measure speed, memory and size of the pruned and the unpruned model."""

    step: ClassVar[str] = "efficiency"
    version: int = 1
    source: str = Field(description="Key of the unpruned model.")
    recovered: bool = Field(False, description="Measure the trained checkpoint too.")
    dtype: Dtype

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not measured, so that keys from before it could be hold."""
        return {name: value for name, value in dump(self).items() if value or name not in ("gguf", "recovered")}


class RecoverySpec(Recovery, ExperimentSpec):
    """Fine-tune the pruned model and merge what it learned."""

    step: ClassVar[str] = "recovery"
    version: int = 1
    recovery_text: str


class RecoveredSpec(ExperimentSpec):
    """Evaluate the fine-tuned model."""

    step: ClassVar[str] = "recovered"
    version: int = 1
    dtype: Dtype
    leakage: dict[str, Leakage] = Field(description="Of each evaluated text, by calibration and recovery.")


class PageSpec(ExperimentSpec):
    """Write the experiment's own page, its resolved configuration and what tracking needs."""

    step: ClassVar[str] = "page"
    version: int = 4
    key: str
    steps: dict[str, str] = Field(description="The experiment's own steps that leave a record, each with its key.")
    dataset: str
    settings: Settings
    shared: dict[str, str]
    parent_license: str | None = None
    data_license: str | None = None

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the settings of a recovery that is off: they decide nothing, and pages from before hold."""
        content = dump(self)
        if not self.settings.recovery.enabled:
            del content["settings"]["recovery"]
        return content


class ComparisonSpec(Spec):
    """Compare the experiments of a sweep; `missing` says of those that are not there, why."""

    step: ClassVar[str] = "comparison"
    version: int = 2
    model: str
    sweep: str
    experiments: tuple[str, ...]
    missing: dict[str, str] = {}


class GgufSpec(Spec):
    """Write a GGUF file that agrees with the checkpoint, as closely as rounding lets it."""

    step: ClassVar[str] = "export_gguf"
    version: int = 1
    type: GgufType
    exact: Closeness
    rounded: Closeness | None = Field(None, description="For a quantised type.")
    pre_tokenizer: str | None = None

    @property
    def limits(self) -> Closeness:
        """How close a file must be."""
        return self.rounded or self.exact

    @classmethod
    def of(cls, export: GgufExport, file_type: str) -> "GgufSpec":
        """Return what the configuration says about files of a type."""
        rounded = {"q8": export.eight_bit, "q4": export.four_bit}.get(file_type[:2])
        return cls(type=file_type, exact=export.exact, rounded=rounded, pre_tokenizer=export.pre_tokenizer)


class GgufBaselineSpec(Spec):
    """Write the unpruned model as GGUF, to be measured beside the pruned one."""

    step: ClassVar[str] = "gguf_baseline"
    version: int = 1
    model: str
    files: tuple[GgufSpec, ...]


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
