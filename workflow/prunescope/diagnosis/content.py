"""A judgement as the content of its file."""

from dataclasses import asdict

import pandas as pd

from prunescope.artifacts.diagnosis import (
    Checks,
    ComparedStability,
    DiagnosisReport,
    ExtremeLayer,
    GradientScale,
    OverallRates,
    Spike,
)
from prunescope.diagnosis.findings import Judgement
from prunescope.diagnosis.measures import Extreme, Measures


def report_of(judgement: Judgement) -> DiagnosisReport:
    """Return the report; what is unknown or undefined is None."""
    measures, now = judgement.measures, judgement.situation
    stability = now.evidence.stability
    return DiagnosisReport(
        extreme_pruning_layers=[_extreme(extreme, now.evidence.layers) for extreme in measures.extreme],
        num_extreme_layers=len(measures.extreme),
        gradient_statistics=_scale(measures),
        diagnosis=judgement.findings,
        checks=Checks(
            spikes=[Spike(**asdict(spike)) for spike in measures.spikes],
            spearman=measures.spearman,
            spread={spread.block: spread.value for spread in measures.spreads},
            attention_vs_mlp=OverallRates(
                attention_rate=measures.attention_rate, mlp_rate=measures.mlp_rate, rate=measures.rate
            ),
            score_ratio=measures.scores.ratio if measures.scores else None,
            stability=ComparedStability(**asdict(stability)) if stability else None,
        ),
        language=judgement.language,
        thresholds=now.thresholds,
    )


def _extreme(extreme: Extreme, layers: pd.DataFrame) -> ExtremeLayer:
    row = layers.loc[extreme.layer]
    return ExtremeLayer(
        layer_idx=extreme.layer,
        pruning_rate=row["rate"],
        importance=row["importance"],
        gradient_mean=row["mean"],
        gradient_norm=row["norm"],
        attention_rate=row["attention_rate"],
        mlp_rate=row["mlp_rate"],
        which=list(extreme.above),
    )


def _scale(measures: Measures) -> GradientScale:
    mean, norm = measures.mean, measures.norm
    return GradientScale(
        mean_range=(mean.low, mean.high) if mean else None,
        mean_ratio=mean.ratio if mean else None,
        norm_range=(norm.low, norm.high) if norm else None,
        norm_ratio=norm.ratio if norm else None,
    )
