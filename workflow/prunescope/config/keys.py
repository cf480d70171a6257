"""Steps and their keys: what each step depends on, and where its files are.

A key is a readable slug plus eight hex digits of the step's spec, which holds the keys of the steps
before it. Experiments that differ only in criterion, T, tau, ratio or limits share every key.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from prunescope.config.resolve import Experiment
from prunescope.config.sections import DatasetSource
from prunescope.config.specs import (
    BaselineSpec,
    CalibrationSpec,
    DiagnosisSpec,
    EvaluationSpec,
    EvaluationTextSpec,
    ExperimentSpec,
    GradientsSpec,
    ImportanceSpec,
    ModelSpec,
    PageSpec,
    PruningSpec,
    RemovalSpec,
    Spec,
    TextSpec,
    canonical,
)

RESULTS = "results"


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

    `removal` is there only when T > 0.
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
    if settings.method.temperature > 0:
        add(window, RemovalSpec(**pass_, **settings.removal.model_dump()))
    windows = add(evaluated, _evaluation_text_spec(experiment, model))
    add(evaluated, BaselineSpec(model=model, evaluation_text=windows, dtype=settings.evaluation.dtype))
    return steps


def experiment_specs(experiment: Experiment) -> dict[str, ExperimentSpec]:
    """Return the specs of the steps whose files are the experiment's own, by step name."""
    settings, shared = experiment.settings, shared_steps(experiment)
    who = {"model": experiment.model, "experiment": experiment.name}
    specs = (
        ImportanceSpec(
            **who,
            gradients=shared["gradients"].key,
            removal=shared["removal"].key if "removal" in shared else None,
            method=settings.method,
            limits=settings.limits,
        ),
        DiagnosisSpec(
            **who,
            calibration=settings.calibration,
            method=settings.method,
            limits=settings.limits,
            diagnosis=settings.diagnosis,
        ),
        PruningSpec(**who, on_critical=settings.diagnosis.on_critical),
        EvaluationSpec(**who, baseline=shared["baseline"].key, dtype=settings.evaluation.dtype),
    )
    return {spec.step: spec for spec in specs}


def experiment_key(experiment: Experiment) -> str:
    """Return what identifies an experiment in tracking: its name and a digest of all it depends on."""
    digests = {name: spec.digest() for name, spec in experiment_specs(experiment).items()}
    digest = hashlib.sha256(canonical(digests).encode()).hexdigest()[:8]
    return f"{experiment.model}/{experiment.name}-{digest}"


def page_spec(experiment: Experiment) -> PageSpec:
    """Return what the experiment's page and its tracking need to know."""
    return PageSpec(
        model=experiment.model,
        experiment=experiment.name,
        key=experiment_key(experiment),
        dataset=experiment.dataset,
        settings=experiment.settings,
        shared={name: step.directory for name, step in shared_steps(experiment).items()},
        parent_license=experiment.source.license,
        data_license=experiment.texts[experiment.dataset].license,
    )


def experiment_directory(model: str, name: str) -> str:
    """Return the folder of an experiment's own files."""
    return f"{RESULTS}/{model}/{name}"


def _model_spec(experiment: Experiment) -> ModelSpec:
    path = experiment.source.path
    files = [Path(path, "config.json"), *sorted(Path(path).glob("*.safetensors"))] if path else []
    # Neither the licence nor the model's default settings change what is loaded.
    source = experiment.source.model_copy(update={"settings": {}, "license": None, "context": None})
    return ModelSpec(
        name=experiment.model,
        source=source,
        fingerprint=fingerprint(files) if files else None,
    )


def _calibration_spec(experiment: Experiment, model: str) -> CalibrationSpec:
    return CalibrationSpec(
        model=model,
        dataset=experiment.dataset,
        text_source=_text_spec(experiment.texts[experiment.dataset]),
        **experiment.settings.calibration.model_dump(),
    )


def _evaluation_text_spec(experiment: Experiment, model: str) -> EvaluationTextSpec:
    evaluation = experiment.settings.evaluation
    return EvaluationTextSpec(
        model=model,
        texts={name: _text_spec(experiment.texts[name]) for name in evaluation.datasets},
        windows=evaluation.windows,
        max_tokens=evaluation.max_tokens,
    )


def _text_spec(source: DatasetSource) -> TextSpec:
    pattern = source.local or (f"{source.path}/**/*" if source.path else None)
    files = _matching(Path(pattern)) if pattern else []
    return TextSpec(
        source=source.model_copy(update={"license": None}), fingerprint=fingerprint(files) if files else None
    )


def _matching(pattern: Path) -> list[Path]:
    root = Path(pattern.anchor)
    return sorted(path for path in root.glob(str(pattern.relative_to(root))) if path.is_file())


def fingerprint(paths: list[Path], sampled: int = 16, block: int = 1 << 16) -> str:
    """Return 16 hex digits over names, sizes and `sampled` evenly spaced blocks of each file.

    Reads at most 1 MiB of a file, so that a 15 GB checkpoint costs no time when the workflow is parsed.
    """
    state = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        state.update(f"{path.name}:{size};".encode())
        with path.open("rb") as file:
            for part in range(sampled):
                file.seek(max(0, size - block) * part // (sampled - 1))
                state.update(file.read(block))
    return state.hexdigest()[:16]
