"""The report as the content of `gradient_diagnosis.json`."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from prunescope.diagnosis.findings import DiagnosisReport, Finding
from prunescope.diagnosis.measures import Extreme, Scale


def report_content(report: DiagnosisReport) -> dict[str, Any]:
    """Return the content of `gradient_diagnosis.json`; what is unknown or undefined is None."""
    measures, now = report.measures, report.situation
    content = {
        "extreme_pruning_layers": [_extreme(extreme, now.evidence.layers) for extreme in measures.extreme],
        "num_extreme_layers": len(measures.extreme),
        "gradient_statistics": _scale("mean", measures.mean) | _scale("norm", measures.norm),
        "diagnosis": [_finding(finding) for finding in report.findings],
        "checks": {
            "spikes": [asdict(spike) for spike in measures.spikes],
            "spearman": measures.spearman,
            "spread": {spread.block: spread.value for spread in measures.spreads},
            "attention_vs_mlp": {
                "attention_rate": measures.attention_rate,
                "mlp_rate": measures.mlp_rate,
                "rate": measures.rate,
            },
            "score_ratio": measures.scores.ratio if measures.scores else None,
            "stability": asdict(now.evidence.stability) if now.evidence.stability else None,
        },
        "language": report.language,
        "thresholds": now.thresholds.model_dump(exclude={"on_critical"}),
    }
    return strict(content)


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
    content = asdict(finding)
    remedies = content.pop("remedies")
    return content | {"remedy": remedies[0] if remedies else None, "remedies": remedies}


def strict(value: Any) -> Any:
    """Return `value` with None for every number that JSON cannot hold, and lists for tuples."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
