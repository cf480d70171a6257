"""Plots of a diagnosis: functions from frames to figures, and `save_plot`, which reads and writes files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from prunescope.diagnosis.inputs import read_evidence, read_rates, read_table
from prunescope.diagnosis.plots.fonts import drawn_in
from prunescope.diagnosis.plots.gradients import gradient_analysis
from prunescope.diagnosis.plots.rates import NO_LIMITS, pruning_rates
from prunescope.diagnosis.plots.scores import importance_heatmap
from prunescope.diagnosis.texts import LANGUAGES
from prunescope.diagnosis.wording import Language
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
    "importance_heatmap": (TABLE, DIAGNOSIS),
}


def save_plot(name: str, directory: Path) -> Path:
    """Draw plot `name` of the experiment in `directory` to `visualization/{name}.png` (130 dpi), atomically.

    Reads the files of `analysis/` that `INPUTS` lists; leaves a record in `records/plot_{name}.json`.
    Threshold and language are those of the report.

    Raises:
        ConfigError: no such plot. DataError: a file is missing or is not what it should be.
    """
    if name not in PLOTS:
        raise ConfigError(f"no plot '{name}'; {did_you_mean(name, PLOTS)}")
    path = directory / "visualization" / f"{name}.png"
    record = directory / "records" / f"plot_{name}.json"
    with recording(f"plot_{name}", directory.name, record), replacing(path) as temporary:
        report = read_json(directory / "analysis" / DIAGNOSIS)
        look = Look(
            extreme_rate=report["thresholds"]["extreme_rate"],
            subtitle=f"{directory.parent.name} / {directory.name}",
        )
        # Ticks get their text while drawing, so that the font must stay until the file is written.
        with drawn_in(LANGUAGES[report.get("language", "en")]) as words:
            PLOTS[name](directory / "analysis", look, words).savefig(temporary, dpi=DPI)
    return path


@dataclass(frozen=True)
class Look:
    """What all plots of an experiment share: the extreme rate, and whose plot it is."""

    extreme_rate: float
    subtitle: str


def _gradient_analysis(analysis: Path, look: Look, words: Language) -> Figure:
    evidence = read_evidence(analysis / STATISTICS, analysis / SUMMARY, analysis / TABLE)
    return gradient_analysis(evidence.layers, look.extreme_rate, look.subtitle, words)


def _pruning_rates(analysis: Path, look: Look, words: Language) -> Figure:
    rates = read_rates(analysis / SUMMARY)
    return pruning_rates(rates, look.extreme_rate, rates.limits or NO_LIMITS, look.subtitle, words)


def _importance_heatmap(analysis: Path, look: Look, words: Language) -> Figure:
    return importance_heatmap(read_table(analysis / TABLE), look.subtitle, words)


PLOTS: dict[str, Callable[[Path, Look, Language], Figure]] = {
    "gradient_analysis": _gradient_analysis,
    "pruning_rates": _pruning_rates,
    "importance_heatmap": _importance_heatmap,
}
