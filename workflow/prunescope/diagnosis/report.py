"""The diagnosis as files: `gradient_diagnosis.json` and the step's record."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.config.sections import Settings
from prunescope.config.specs import DiagnosisSpec
from prunescope.diagnosis.console import print_report
from prunescope.diagnosis.findings import Finding, Report, diagnose
from prunescope.diagnosis.inputs import Evidence, read_evidence
from prunescope.diagnosis.measures import Extreme, Measures, Scale
from prunescope.diagnosis.remedies import Context
from prunescope.files import write_json
from prunescope.tracking.record import StepRecord, recording

__all__ = ["FILE", "print_report", "report_content", "write_diagnosis", "write_report"]

FILE = "gradient_diagnosis.json"


def write_diagnosis(spec: DiagnosisSpec, directory: Path) -> Report:
    """Diagnose the experiment in `directory` (results/{model}/{experiment}).

    Reads `importance_table.parquet`, `pruning_summary.json` and `gradient_statistics.json` in its
    `analysis/`, writes `analysis/gradient_diagnosis.json` and `records/diagnosis.json`. Nothing
    that is already in force is recommended.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    analysis = directory / "analysis"
    params = {"diagnosis": spec.diagnosis.model_dump(mode="json")}
    with recording("diagnosis", spec.experiment, directory / "records" / "diagnosis.json", params) as record:
        evidence = read_evidence(
            analysis / "gradient_statistics.json",
            analysis / "pruning_summary.json",
            analysis / "importance_table.parquet",
        )
        settings = Settings(**{name: getattr(spec, name) for name in Settings.model_fields if hasattr(spec, name)})
        report = diagnose(evidence, spec.diagnosis, Context(spec.model, spec.experiment, settings))
        write_report(report, evidence, analysis / FILE)
        _fill(record, report, evidence)
    return report


def write_report(report: Report, evidence: Evidence, path: Path) -> None:
    """Write the report as strict JSON; what is unknown or undefined is null."""
    write_json(path, _strict(report_content(report, evidence)))


def report_content(report: Report, evidence: Evidence) -> dict[str, Any]:
    """Return the content of `gradient_diagnosis.json`."""
    measures = report.measures
    return {
        "extreme_pruning_layers": [_extreme(extreme, evidence.layers) for extreme in measures.extreme],
        "num_extreme_layers": len(measures.extreme),
        "gradient_statistics": _scale("mean", measures.mean) | _scale("norm", measures.norm),
        "diagnosis": [_finding(finding) for finding in report.findings],
        "checks": _checks(measures),
        "thresholds": report.thresholds.model_dump(exclude={"on_critical"}),
    }


def _extreme(extreme: Extreme, layers: pd.DataFrame) -> dict[str, Any]:
    row = layers.loc[extreme.layer]
    return {
        "layer_idx": extreme.layer,
        "pruning_rate": row["rate"],
        "importance": row["importance"],
        "gradient_mean": row["mean"],
        "gradient_norm": row["norm"],
        "attention_rate": row["attention_rate"],
        "mlp_rate": row["mlp_rate"],
        "which": list(extreme.above),
    }


def _scale(name: str, scale: Scale | None) -> dict[str, Any]:
    return {
        f"{name}_range": [scale.low, scale.high] if scale else None,
        f"{name}_ratio": scale.ratio if scale else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    remedy = finding.remedy
    return {
        "issue": finding.issue,
        "severity": finding.severity,
        "description": finding.description,
        "recommendation": finding.recommendation,
        "code": finding.code,
        "layers": list(finding.layers),
        "evidence": finding.evidence,
        "remedy": remedy and {k: getattr(remedy, k) for k in ("kind", "patch", "experiment", "command")},
    }


def _checks(measures: Measures) -> dict[str, Any]:
    return {
        "spikes": [{"layer": spike.layer, "z": spike.z} for spike in measures.spikes],
        "spearman": measures.spearman,
        "spread": {spread.block: spread.value for spread in measures.spreads},
        "attention_vs_mlp": {
            "attention_rate": measures.attention_rate,
            "mlp_rate": measures.mlp_rate,
            "rate": measures.rate,
        },
    }


def _fill(record: StepRecord, report: Report, evidence: Evidence) -> None:
    measures = report.measures
    metrics = {
        "grad/mean_ratio": measures.mean and measures.mean.ratio,
        "grad/norm_ratio": measures.norm and measures.norm.ratio,
        "diagnosis/findings_high": report.count("high"),
        "diagnosis/findings_critical": report.count("critical"),
        "diagnosis/extreme_layers": len(measures.extreme),
        "diagnosis/spearman": measures.spearman,
    }
    record.metrics = {name: float(value) for name, value in metrics.items() if value is not None}
    curves = {
        "grad/layer_mean": "mean",
        "grad/layer_std": "std",
        "grad/layer_norm": "norm",
        "prune/layer_rate": "rate",
        "prune/attention_rate": "attention_rate",
        "prune/mlp_rate": "mlp_rate",
        "importance/layer": "importance",
    }
    layers = evidence.layers.reindex(range(int(evidence.layers.index.max()) + 1))
    record.curves = {name: _strict(layers[column].tolist()) for name, column in curves.items()}
    record.artifacts = [f"../analysis/{FILE}", "../analysis/gradient_statistics.json"]


def _strict(value: Any) -> Any:
    """Return `value` with None for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
