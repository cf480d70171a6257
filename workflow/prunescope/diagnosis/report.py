"""A diagnosis of files: of an experiment's, which leaves `gradient_diagnosis.json`, or of two that someone sent."""

from pathlib import Path

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Diagnosis, Settings
from prunescope.diagnosis.content import report_of
from prunescope.diagnosis.evidence import Texts
from prunescope.diagnosis.findings import Judgement, diagnose
from prunescope.diagnosis.inputs import compared_stability, read_evidence
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import LANGUAGES
from prunescope.steps.diagnosis import DiagnosisSpec
from prunescope.steps.job import Job

DEFAULTS = Diagnosis()
CURVES = {
    "grad/mean": "mean",
    "grad/std": "std",
    "grad/norm": "norm",
    "prune/rate": "rate",
    "prune/attention_rate": "attention_rate",
    "prune/mlp_rate": "mlp_rate",
    "importance/score": "importance",
}
"""Curves over the layers that tracking shows -> columns of `Evidence.layers`."""


def diagnose_experiment(job: Job[DiagnosisSpec, ExperimentFolder]) -> Judgement:
    """Diagnose an experiment. Nothing that is already in force is recommended.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    spec, folder = job.spec, job.folder
    with job.recording({"diagnosis": spec.diagnosis.model_dump(mode="json")}) as record:
        evidence = read_evidence(
            folder.statistics.path,
            folder.summary.path,
            folder.table.path,
            compared_stability(folder.stability.read(), spec.method.criterion) if folder.stability.exists() else None,
            Texts(spec.calibration_texts, spec.evaluation_texts, spec.leakage),
        )
        settings = Settings(**{name: getattr(spec, name) for name in Settings.model_fields if hasattr(spec, name)})
        context = Context(spec.model, spec.experiment, settings, spec.start)
        judgement = diagnose(evidence, spec.diagnosis, context, LANGUAGES[spec.report.language])
        folder.diagnosis.write(report_of(judgement))
        _fill(record, judgement)
    return judgement


def replay(
    statistics: Path,
    rates: Path,
    thresholds: Diagnosis = DEFAULTS,
    language: str = "en",
    model: str = "model",
    experiment: str = "replay",
) -> Judgement:
    """Diagnose from two files, without a model, a table or settings.

    The settings in force are those that the experiment's name declares, and else the defaults.

    Args:
        statistics: `gradient_statistics.json`; `layers` with `mean` alone are enough.
        rates: `pruning_summary.json` or `.csv`; `layer` and one of `RATES` are enough. Its own names win
            over `model` and `experiment`.
        language: of the report, a key of `LANGUAGES`.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    evidence = read_evidence(statistics, rates)
    context = Context(evidence.rates.model or model, evidence.rates.experiment or experiment)
    return diagnose(evidence, thresholds, context, LANGUAGES[language])


def _fill(record: StepRecord, judgement: Judgement) -> None:
    measures, layers = judgement.measures, judgement.situation.evidence.layers
    metrics = {
        "grad/mean_ratio": measures.mean.ratio if measures.mean else None,
        "grad/norm_ratio": measures.norm.ratio if measures.norm else None,
        "diagnosis/findings_high": judgement.count("high"),
        "diagnosis/findings_critical": judgement.count("critical"),
        "diagnosis/extreme_layers": len(measures.extreme),
        "diagnosis/spearman": measures.spearman,
        "diagnosis/score_ratio": measures.scores.ratio if measures.scores else None,
    }
    record.metrics = {name: float(value) for name, value in metrics.items() if value is not None}
    record.curves = {name: layers[column].tolist() for name, column in CURVES.items()}
