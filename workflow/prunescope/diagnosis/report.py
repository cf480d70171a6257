"""A diagnosis of files: of an experiment's, which leaves `gradient_diagnosis.json`, or of two that someone sent."""

import logging
from pathlib import Path

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Diagnosis, Settings
from prunescope.diagnosis.evidence import Texts, join_evidence
from prunescope.diagnosis.findings import Judgement, diagnose
from prunescope.diagnosis.inputs import check_layers, compared_stability, read_rates, read_statistics
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import LANGUAGES
from prunescope.steps.diagnosis import DiagnosisSpec
from prunescope.steps.job import Job

log = logging.getLogger(__name__)

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
        decided = folder.decided(spec)
        evidence = join_evidence(
            read_statistics(folder.statistics.path),
            read_rates(folder.summary.path),
            folder.table.read(),
            compared_stability(folder.stability.read(), decided.method.criterion)
            if folder.stability.exists()
            else None,
            Texts(spec.calibration_texts, spec.evaluation_texts, spec.leakage),
        )
        told = {name: getattr(spec, name) for name in Settings.model_fields if hasattr(spec, name)}
        settings = Settings(**told | dict(decided))
        context = Context(spec.model, spec.experiment, settings, spec.start, folder.plain_name(spec))
        trials = folder.trials.read() if spec.trials else None
        trials = trials if trials and trials.texts else None
        judgement = diagnose(evidence, spec.diagnosis, context, LANGUAGES[spec.report.language], trials)
        folder.diagnosis.write(judgement.report)
        for finding in judgement.report.diagnosis[:1]:
            log.info("%s: %s", finding.severity, finding.issue)
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
        statistics: `gradient_statistics.json`, or what another program wrote; `mean` by layer or parameter is enough.
        rates: `pruning_summary.json` or `.csv`, or what another program wrote; `layer` and one of `RATES` are enough.
            Its own names win over `model` and `experiment`.
        language: of the report, a key of `LANGUAGES`.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    gradients, cut = read_statistics(statistics), read_rates(rates)
    check_layers(gradients, cut)
    evidence = join_evidence(gradients, cut)
    context = Context(evidence.rates.model or model, evidence.rates.experiment or experiment)
    return diagnose(evidence, thresholds, context, LANGUAGES[language])


def _fill(record: StepRecord, judgement: Judgement) -> None:
    report, layers = judgement.report, judgement.situation.evidence.layers
    metrics: dict[str, float | None] = {
        "grad/mean_ratio": report.gradient_statistics.mean_ratio,
        "grad/norm_ratio": report.gradient_statistics.norm_ratio,
        "diagnosis/findings_high": report.count("high"),
        "diagnosis/findings_critical": report.count("critical"),
        "diagnosis/extreme_layers": report.num_extreme_layers,
        "diagnosis/spearman": report.checks.spearman,
        "diagnosis/score_ratio": report.checks.score_ratio,
    }
    record.metrics = {name: float(value) for name, value in metrics.items() if value is not None}
    record.curves = {name: layers[column].tolist() for name, column in CURVES.items()}
