"""Plots of a diagnosis: functions from frames to figures, and `save_plot`, which reads and writes files."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from prunescope.config.sections import Limits
from prunescope.diagnosis.inputs import read_evidence, read_rates, read_table
from prunescope.diagnosis.plots.gradients import gradient_analysis
from prunescope.diagnosis.plots.rates import RateLimits, pruning_rates
from prunescope.diagnosis.plots.scores import importance_heatmap
from prunescope.errors import ConfigError, did_you_mean
from prunescope.files import read_json, replacing
from prunescope.tracking.record import recording

__all__ = ["INPUTS", "PLOTS", "gradient_analysis", "importance_heatmap", "pruning_rates", "save_plot"]

DPI = 130
TABLE, SUMMARY = "importance_table.parquet", "pruning_summary.json"
STATISTICS, DIAGNOSIS = "gradient_statistics.json", "gradient_diagnosis.json"
INPUTS = {
    "gradient_analysis": (STATISTICS, SUMMARY, TABLE, DIAGNOSIS),
    "pruning_rates": (SUMMARY, DIAGNOSIS),
    "importance_heatmap": (TABLE,),
}


def save_plot(name: str, directory: Path) -> Path:
    """Draw plot `name` of the experiment in `directory` to `visualization/{name}.png` (130 dpi), atomically.

    Reads the files of `analysis/` that `INPUTS` lists; leaves a record in `records/plot_{name}.json`.

    Raises:
        ConfigError: no such plot. DataError: a file is missing or is not what it should be.
    """
    if name not in PLOTS:
        raise ConfigError(f"no plot '{name}'; {did_you_mean(name, PLOTS)}")
    path = directory / "visualization" / f"{name}.png"
    record = directory / "records" / f"plot_{name}.json"
    with recording(f"plot_{name}", directory.name, record), replacing(path) as temporary:
        PLOTS[name](directory).savefig(temporary, dpi=DPI)
    return path


def _gradient_analysis(directory: Path) -> Figure:
    analysis = directory / "analysis"
    evidence = read_evidence(analysis / STATISTICS, analysis / SUMMARY, analysis / TABLE)
    return gradient_analysis(evidence.layers, _extreme_rate(directory), _whose(directory))


def _pruning_rates(directory: Path) -> Figure:
    rates = read_rates(directory / "analysis" / SUMMARY)
    limits = Limits.model_validate(read_json(directory / "analysis" / SUMMARY).get("limits", {}))
    early = limits.early_layers
    shown = RateLimits(
        max_rate=limits.max_rate,
        early_rate=early.max_rate if early else None,
        early_count=early.count if early else 0,
    )
    return pruning_rates(rates, _extreme_rate(directory), shown, _whose(directory))


def _importance_heatmap(directory: Path) -> Figure:
    return importance_heatmap(read_table(directory / "analysis" / TABLE), _whose(directory))


PLOTS: dict[str, Callable[[Path], Figure]] = {
    "gradient_analysis": _gradient_analysis,
    "pruning_rates": _pruning_rates,
    "importance_heatmap": _importance_heatmap,
}


def _extreme_rate(directory: Path) -> float:
    return read_json(directory / "analysis" / DIAGNOSIS)["thresholds"]["extreme_rate"]


def _whose(directory: Path) -> str:
    return f"{directory.parent.name} / {directory.name}"
