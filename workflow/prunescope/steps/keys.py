"""Steps and their keys: what each step depends on, and where its files are.

A key is a readable slug plus eight hex digits of the step's spec, which holds the keys of the steps
before it. Experiments that differ only in criterion, T, tau, ratio or limits share every key.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prunescope.config.leakage import Leakage, worst_leakage
from prunescope.config.resolve import Experiment
from prunescope.config.sections import DatasetSource, Diagnosis, Evaluation, Recovery, SplitNames, Zeroshot
from prunescope.config.sections.sources import matching_files, text_files
from prunescope.steps.specs import (
    BaselineSpec,
    CalibrationSpec,
    DiagnosisSpec,
    EfficiencySpec,
    EvaluationSpec,
    EvaluationTextSpec,
    ExperimentSpec,
    GgufBaselineSpec,
    GgufSpec,
    GradientsSpec,
    ImportanceSpec,
    ModelSpec,
    PageSpec,
    PruningSpec,
    RecoveredSpec,
    RecoverySpec,
    RecoveryTextSpec,
    RemovalSpec,
    Spec,
    TextSpec,
    ZeroshotBaselineSpec,
    ZeroshotSpec,
    canonical,
)

RESULTS = "results"
MODEL_FILES = (".json", ".safetensors", ".model", ".txt", ".jinja")
LARGE, SAMPLED, BLOCK = 1 << 24, 16, 1 << 16


@dataclass(frozen=True)
class Step:
    """A shared step of one model."""

    model: str
    slug: str
    spec: Spec

    @property
    def name(self) -> str:
        return self.spec.step

    @property
    def key(self) -> str:
        return f"{self.slug}-{self.spec.digest()}"

    @property
    def directory(self) -> str:
        return f"{RESULTS}/{self.model}/_shared/{self.name}/{self.key}"

    def file(self, name: str) -> str:
        return f"{self.directory}/{name}"


def shared_steps(experiment: Experiment) -> dict[str, Step]:
    """Return the shared steps that an experiment needs, by name, in the order of the pipeline.

    `removal` is there only when the method needs a prior, `zeroshot_baseline` when tasks are asked for,
    `gguf_baseline` when GGUF files are to be measured, `recovery_text` when the pruned model is to be trained.
    """
    settings = experiment.settings
    steps: dict[str, Step] = {}

    def add(slug: str, spec: Spec) -> str:
        steps[spec.step] = Step(experiment.model, slug, spec)
        return steps[spec.step].key

    window = f"{experiment.dataset}_n{settings.calibration.samples}_s{settings.calibration.seq_len}"
    evaluated = "_".join(settings.evaluation.datasets)
    model = add("source", _model_spec(experiment))
    samples = add(window, _calibration_spec(experiment, model))
    pass_ = {"model": model, "calibration": samples}
    add(window, GradientsSpec(**pass_, **settings.gradients.model_dump()))
    if settings.method.needs_prior:
        add(window, RemovalSpec(**pass_, prior=settings.method.prior, **settings.removal.model_dump()))
    windows = add(evaluated, _evaluation_text_spec(experiment, model))
    add(evaluated, BaselineSpec(model=model, evaluation_text=windows, dtype=settings.evaluation.dtype))
    if settings.evaluation.zeroshot:
        add(_zeroshot_slug(settings.evaluation.zeroshot), _zeroshot_baseline_spec(settings.evaluation, model))
    if settings.evaluation.efficiency and settings.evaluation.efficiency.gguf:
        types = settings.evaluation.efficiency.gguf
        files = tuple(GgufSpec.of(experiment.export.gguf, kind) for kind in types)
        add("_".join(types), GgufBaselineSpec(model=model, files=files))
    if settings.recovery.enabled:
        trained = f"{recovery_dataset(experiment)}_t{settings.recovery.tokens}_s{settings.recovery.seq_len}"
        add(trained, _recovery_text_spec(experiment, model))
    return steps


def experiment_specs(experiment: Experiment, shared: dict[str, Step]) -> dict[str, ExperimentSpec]:
    """Return the specs of the steps whose files are the experiment's own, by step name."""
    settings = experiment.settings
    who = {"model": experiment.model, "experiment": experiment.name}
    # What it is compared with changes no finding, nor does what follows from one.
    report = settings.report.model_copy(update={"reference": None})
    diagnosis = settings.diagnosis.model_copy(update={"on_critical": Diagnosis().on_critical})
    specs: list[ExperimentSpec] = [
        ImportanceSpec(
            **who,
            gradients=shared["gradients"].key,
            removal=shared["removal"].key if "removal" in shared else None,
            method=settings.method,
            corrections=settings.corrections,
            limits=settings.limits,
        ),
        DiagnosisSpec(
            **who,
            diagnosis=diagnosis,
            report=report,
            calibration=settings.calibration,
            gradients=settings.gradients,
            method=settings.method,
            corrections=settings.corrections,
            limits=settings.limits,
            calibration_texts=calibration_texts(experiment),
            evaluation_texts=settings.evaluation.datasets,
            leakage=leakage(experiment),
        ),
        PruningSpec(**who),
        EvaluationSpec(
            **who,
            baseline=shared["baseline"].key,
            dtype=settings.evaluation.dtype,
            leakage=leakage(experiment),
        ),
    ]
    if settings.recovery.enabled:
        specs.append(RecoverySpec(**who, recovery_text=shared["recovery_text"].key, **settings.recovery.model_dump()))
        known = leakage(experiment, _texts_of(experiment, recovery_dataset(experiment)))
        specs.append(RecoveredSpec(**who, dtype=settings.evaluation.dtype, leakage=known))
    if settings.evaluation.zeroshot:
        baseline, told = shared["zeroshot_baseline"].key, settings.evaluation.zeroshot.model_dump()
        specs.append(ZeroshotSpec(**who, baseline=baseline, dtype=settings.evaluation.dtype, **told))
    if settings.evaluation.efficiency:
        told, source = settings.evaluation.efficiency.model_dump(), shared["model"].key
        told |= {"recovered": settings.recovery.enabled}
        specs.append(EfficiencySpec(**who, source=source, dtype=settings.evaluation.dtype, **told))
    own = {spec.step: spec for spec in specs}
    digests = {name: spec.digest() for name, spec in own.items()}
    digest = hashlib.sha256(canonical(digests).encode()).hexdigest()[:8]
    own["page"] = PageSpec(
        **who,
        key=f"{experiment.model}/{experiment.name}-{digest}",
        steps={name: spec.record_key for name, spec in own.items()},
        dataset=experiment.dataset,
        settings=settings if settings.recovery.enabled else settings.model_copy(update={"recovery": Recovery()}),
        shared={name: step.directory for name, step in shared.items()},
        parent_license=experiment.source.license,
        data_license=experiment.texts[experiment.dataset].license,
    )
    return own


def experiment_directory(model: str, name: str) -> str:
    """Return the folder of an experiment's own files."""
    return f"{RESULTS}/{model}/{name}"


def _model_spec(experiment: Experiment) -> ModelSpec:
    # Neither the licence nor the model's default settings change what is loaded.
    source = experiment.source.model_copy(update={"settings": {}, "license": None, "context": None})
    files = sorted(Path(source.path).iterdir()) if source.path else []
    return ModelSpec(
        name=experiment.model,
        source=source,
        fingerprint=fingerprint([file for file in files if file.suffix in MODEL_FILES]) if files else None,
    )


def _calibration_spec(experiment: Experiment, model: str) -> CalibrationSpec:
    return CalibrationSpec(
        model=model,
        dataset=experiment.dataset,
        **_drawn(experiment, experiment.dataset),
        **experiment.settings.calibration.model_dump(),
    )


def _recovery_text_spec(experiment: Experiment, model: str) -> RecoveryTextSpec:
    told, dataset = experiment.settings.recovery, recovery_dataset(experiment)
    return RecoveryTextSpec(
        model=model,
        dataset=dataset,
        **_drawn(experiment, dataset),
        samples=-(-told.tokens // told.seq_len),
        seq_len=told.seq_len,
        seed=told.seed,
    )


def _drawn(experiment: Experiment, dataset: str) -> dict[str, Any]:
    """Return the texts that a dataset draws on, and their weights."""
    names = _texts_of(experiment, dataset)
    texts = {name: _text_spec(experiment.texts[name], "calibration") for name in names}
    return {"texts": texts, "weights": experiment.texts[dataset].mixture or {}}


def recovery_dataset(experiment: Experiment) -> str:
    """Return the name of what the pruned model is trained on."""
    return experiment.settings.recovery.dataset or experiment.dataset


def calibration_texts(experiment: Experiment) -> tuple[str, ...]:
    """Return the names of the texts that calibration samples come from: one, or those of a mixture."""
    return _texts_of(experiment, experiment.dataset)


def _texts_of(experiment: Experiment, dataset: str) -> tuple[str, ...]:
    return tuple(experiment.texts[dataset].mixture or (dataset,))


def leakage(experiment: Experiment, also: tuple[str, ...] = ()) -> dict[str, Leakage]:
    """Return what each evaluated text has in common with the calibration texts and those named in `also`."""
    used = [experiment.texts[name] for name in (*calibration_texts(experiment), *also)]
    return {name: worst_leakage(used, experiment.texts[name]) for name in experiment.settings.evaluation.datasets}


def _evaluation_text_spec(experiment: Experiment, model: str) -> EvaluationTextSpec:
    evaluation = experiment.settings.evaluation
    return EvaluationTextSpec(
        model=model,
        texts={name: _text_spec(experiment.texts[name], "test") for name in evaluation.datasets},
        protocols=evaluation.protocols,
        max_tokens=evaluation.max_tokens,
    )


def _zeroshot_slug(zeroshot: Zeroshot) -> str:
    return f"{len(zeroshot.tasks)}_tasks" + (f"_limit{zeroshot.limit}" if zeroshot.limit else "")


def _zeroshot_baseline_spec(evaluation: Evaluation, model: str) -> ZeroshotBaselineSpec:
    told = evaluation.zeroshot
    files = matching_files(f"{told.task_dir}/**/*") if told.task_dir else []
    files = [file for file in files if "__pycache__" not in file.parts]
    return ZeroshotBaselineSpec(
        model=model,
        dtype=evaluation.dtype,
        fingerprint=fingerprint(files) if files else None,
        **told.model_dump(),
    )


def _text_spec(source: DatasetSource, purpose: str) -> TextSpec:
    """Return what a step reads of a text: of a hub dataset the one split that serves `purpose`."""
    told: dict[str, Any] = {"license": None}
    if source.hub:
        split = getattr(source.splits, purpose)
        told["splits"] = SplitNames(**{purpose: split})
        # Where the split has no files, reading says so, and which there are.
        told["files"] = {name: file for name, file in (source.files or {}).items() if name == split} or source.files
    source = source.model_copy(update=told)
    files = text_files(source.local) if source.local else copied_files(source)
    return TextSpec(source=source, fingerprint=fingerprint(files) if files else None)


def copied_files(source: DatasetSource) -> list[Path]:
    """Return the files that are read of a local copy of a hub dataset: those of `files`, or all but hidden ones."""
    if not source.path:
        return []
    if source.files:
        return [file for pattern in source.files.values() for file in matching_files(f"{source.path}/{pattern}")]
    found = matching_files(f"{source.path}/**/*")
    return [file for file in found if not any(part[0] == "." for part in file.relative_to(source.path).parts)]


def fingerprint(paths: list[Path]) -> str:
    """Return 16 hex digits over the names and contents of files.

    Of a large file only its size and `SAMPLED` evenly spaced blocks are read, so that a 15 GB checkpoint costs no
    time when the workflow is parsed; of a large text also the time of its last change, since an edit may be small.
    """
    status = [(path, path.stat()) for path in paths]
    return _fingerprint(tuple((path, state.st_size, state.st_mtime_ns) for path, state in status))


@cache
def _fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Read files, given with size and time, so that those of many experiments are read once."""
    state = hashlib.sha256()
    for path, size, changed in files:
        state.update(f"{path.name}:{size};".encode())
        with path.open("rb") as file:
            if size <= LARGE:
                state.update(file.read())
                continue
            if path.suffix != ".safetensors":
                state.update(f"{changed};".encode())
            for part in range(SAMPLED):
                file.seek((size - BLOCK) * part // (SAMPLED - 1))
                state.update(file.read(BLOCK))
    return state.hexdigest()[:16]
