"""A diagnosis of files: of an experiment's, which leaves `gradient_diagnosis.json`, or of two that someone sent."""

from pathlib import Path

from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.sections import Diagnosis, Settings
from prunescope.diagnosis.content import report_content
from prunescope.diagnosis.evidence import Texts
from prunescope.diagnosis.findings import DiagnosisReport, diagnose
from prunescope.diagnosis.inputs import read_evidence, read_stability
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import LANGUAGES
from prunescope.files import write_json
from prunescope.steps.diagnosis import DiagnosisSpec

DEFAULTS = Diagnosis()
FILE = "gradient_diagnosis.json"
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


def write_diagnosis(spec: DiagnosisSpec, directory: Path) -> DiagnosisReport:
    """Diagnose the experiment in `directory` (results/{model}/{experiment}).

    Reads `importance_table.parquet`, `pruning_summary.json`, `gradient_statistics.json` and, where there
    is one, `stability.json` in its `analysis/`, writes `analysis/gradient_diagnosis.json` and
    `records/diagnosis.json`. Nothing that is already in force is recommended.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    analysis = directory / "analysis"
    stability = analysis / "stability.json"
    params = {"diagnosis": spec.diagnosis.model_dump(mode="json")}
    with recording("diagnosis", spec.record_key, directory / "records" / "diagnosis.json", params) as record:
        evidence = read_evidence(
            analysis / "gradient_statistics.json",
            analysis / "pruning_summary.json",
            analysis / "importance_table.parquet",
            read_stability(stability, spec.method.criterion) if stability.is_file() else None,
            Texts(spec.calibration_texts, spec.evaluation_texts, spec.leakage),
        )
        settings = Settings(**{name: getattr(spec, name) for name in Settings.model_fields if hasattr(spec, name)})
        context = Context(spec.model, spec.experiment, settings, spec.start)
        report = diagnose(evidence, spec.diagnosis, context, LANGUAGES[spec.report.language])
        write_report(report, analysis / FILE)
        _fill(record, report)
    return report


def replay(
    statistics: Path,
    rates: Path,
    thresholds: Diagnosis = DEFAULTS,
    language: str = "en",
    model: str = "model",
    experiment: str = "replay",
) -> DiagnosisReport:
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


def write_report(report: DiagnosisReport, path: Path) -> None:
    """Write the report as strict JSON."""
    write_json(path, report_content(report))


def _fill(record: StepRecord, report: DiagnosisReport) -> None:
    measures, layers = report.measures, report.situation.evidence.layers
    metrics = {
        "grad/mean_ratio": measures.mean and measures.mean.ratio,
        "grad/norm_ratio": measures.norm and measures.norm.ratio,
        "diagnosis/findings_high": report.count("high"),
        "diagnosis/findings_critical": report.count("critical"),
        "diagnosis/extreme_layers": len(measures.extreme),
        "diagnosis/spearman": measures.spearman,
        "diagnosis/score_ratio": measures.scores and measures.scores.ratio,
    }
    record.metrics = {name: float(value) for name, value in metrics.items() if value is not None}
    record.curves = {name: layers[column].tolist() for name, column in CURVES.items()}
    record.artifacts = [f"../analysis/{FILE}", "../analysis/gradient_statistics.json"]
