"""What is measured of the unpruned and the pruned model: perplexity and, where asked for, tasks and speed."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from prunescope.artifacts.folders import (
    BaselineFolder,
    EvaluationTextFolder,
    GgufBaselineFolder,
    ModelFolder,
    ZeroshotBaselineFolder,
)
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.config.leakage import Leakage
from prunescope.config.sections import Dtype, Efficiency, Words, Zeroshot
from prunescope.config.sections.sources import matching_files
from prunescope.packages import LLAMA_CPP, LM_EVAL
from prunescope.steps.export import FINAL, GgufSpec
from prunescope.steps.fingerprints import fingerprint
from prunescope.steps.spec import ExperimentSpec, Planning, ScatteredSpec, SharedSpec
from prunescope.steps.step import Step
from prunescope.steps.texts import leakage
from prunescope.steps.work import Work

LESS = "or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB, which leaves more beside the weights"
SHORTER = f"take shorter windows in evaluation.protocols, {LESS}"
SMALLER = f"lower evaluation.zeroshot.batch_size, {LESS}"


class BaselineSpec(ScatteredSpec, SharedSpec):
    """Evaluate the unpruned model."""

    step = "baseline"
    version = 2
    dtype: Dtype
    words: Words | None = Field(None, description="What the pruned and the trained model are given too.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["BaselineSpec"]:
        evaluation = planned.experiment.settings.evaluation
        yield cls(**common, dtype=evaluation.dtype, words=evaluation.words)

    @property
    def slug(self) -> str:
        return self.slug_of("evaluation_text")


class EvaluationSpec(ScatteredSpec, ExperimentSpec):
    """Evaluate the pruned model on the windows of the unpruned one."""

    step = "evaluation"
    version = 2
    dtype: Dtype
    leakage: dict[str, Leakage] = Field(description="Of each evaluated text.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["EvaluationSpec"]:
        dtype = planned.experiment.settings.evaluation.dtype
        yield cls(**common, dtype=dtype, leakage=leakage(planned.experiment))


class ZeroshotBaselineSpec(Zeroshot, SharedSpec):
    """Run the zero-shot tasks on the unpruned model."""

    step = "zeroshot_baseline"
    aside = frozenset({"task_dir"})
    dtype: Dtype
    fingerprint: str | None = Field(None, description="Of the files of `task_dir`; stands for its path.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ZeroshotBaselineSpec"]:
        evaluation = planned.experiment.settings.evaluation
        if evaluation.zeroshot:
            folder = evaluation.zeroshot.task_dir
            files = matching_files(f"{folder}/**/*") if folder else []
            files = [file for file in files if "__pycache__" not in file.parts]
            told = dict(evaluation.zeroshot)
            yield cls(**common, dtype=evaluation.dtype, fingerprint=fingerprint(files), **told)

    @property
    def slug(self) -> str:
        return f"{len(self.tasks)}_tasks" + (f"_limit{self.limit}" if self.limit else "")


class ZeroshotSpec(Zeroshot, ExperimentSpec):
    """Run the zero-shot tasks on the final checkpoint."""

    step = "zeroshot"
    # The key of the baseline stands for the content of the folder.
    aside = frozenset({"task_dir"})
    dtype: Dtype

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ZeroshotSpec"]:
        evaluation = planned.experiment.settings.evaluation
        if evaluation.zeroshot:
            yield cls(**common, dtype=evaluation.dtype, **dict(evaluation.zeroshot))


class GgufBaselineSpec(SharedSpec):
    """Write the unpruned model as GGUF, to be measured beside the pruned one."""

    step = "gguf_baseline"
    files: tuple[GgufSpec, ...]

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["GgufBaselineSpec"]:
        efficiency = planned.experiment.settings.evaluation.efficiency
        if efficiency and efficiency.gguf:
            export = planned.experiment.export.gguf
            yield cls(**common, files=tuple(GgufSpec.by(export, kind) for kind in efficiency.gguf))

    @property
    def slug(self) -> str:
        return "_".join(file.type for file in self.files)


class EfficiencySpec(Efficiency, ExperimentSpec):
    """Measure speed, memory and size of the pruned and the unpruned model, and of their GGUF files."""

    step = "efficiency"
    dtype: Dtype
    recovered: bool = Field(False, description="Measure the trained checkpoint too.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["EfficiencySpec"]:
        settings = planned.experiment.settings
        if settings.evaluation.efficiency:
            told = dict(settings.evaluation.efficiency) | {"recovered": settings.recovery.enabled}
            yield cls(**common, dtype=settings.evaluation.dtype, **told)


STEPS = (
    Step(
        BaselineSpec,
        "evaluation.steps:evaluate_baseline",
        BaselineFolder,
        part="evaluation.steps:baseline_part",
        needs=(EvaluationTextFolder.windows,),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(2, 15),
        out_of_memory=SHORTER,
    ),
    Step(
        EvaluationSpec,
        "evaluation.steps:evaluate_pruned",
        Own,
        part="evaluation.steps:pruned_part",
        needs=(
            Own.checkpoint,
            EvaluationTextFolder.windows,
            BaselineFolder.perplexity,
            BaselineFolder.losses,
            BaselineFolder.words,
        ),
        timed=True,
        work=Work(2, 15),
        out_of_memory=SHORTER,
    ),
    Step(
        ZeroshotBaselineSpec,
        "evaluation.zeroshot:run_baseline",
        ZeroshotBaselineFolder,
        looks_at=(ModelFolder.facts,),
        network=True,
        package=LM_EVAL,
        timed=True,
        work=Work(2, 65),
        out_of_memory=SMALLER,
    ),
    Step(
        ZeroshotSpec,
        "evaluation.zeroshot:run_final",
        Own,
        needs=(*FINAL, ZeroshotBaselineFolder.scores),
        network=True,
        package=LM_EVAL,
        timed=True,
        work=Work(2, 65),
        out_of_memory=SMALLER,
    ),
    Step(
        GgufBaselineSpec,
        "export.steps:export_baseline",
        GgufBaselineFolder,
        looks_at=(ModelFolder.facts,),
        package=LLAMA_CPP,
        work=Work(3, 15, gpu=False),
    ),
    Step(
        EfficiencySpec,
        "evaluation.efficiency:measure",
        Own,
        needs=(*FINAL, Own.gguf, GgufBaselineFolder.gguf),
        looks_at=(ModelFolder.facts,),
        timed=True,
        work=Work(4, 15),
        out_of_memory="the models must all fit on one device together: lower evaluation.efficiency.batch_sizes or "
        "prompt, or set evaluation.efficiency to null",
    ),
)
