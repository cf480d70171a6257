"""Plots of a diagnosis: functions from frames to figures, and what reads and writes files.

Each is written as PNG and as SVG. The SVG holds text as text in English; Chinese is drawn as outlines, for a
reader's machine may lack the characters. The same numbers give the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from prunescope.artifacts.record import recording
from prunescope.diagnosis.evidence import Rates
from prunescope.diagnosis.inputs import read_evidence, read_rates, read_table
from prunescope.diagnosis.words import LANGUAGES, Language
from prunescope.errors import ConfigError, DataError, did_you_mean
from prunescope.files import read_json
from prunescope.reporting.figures.before_after import before_after, comparison_lines
from prunescope.reporting.figures.fonts import drawn_in
from prunescope.reporting.figures.gradients import gradient_analysis
from prunescope.reporting.figures.headline import headline
from prunescope.reporting.figures.rates import NO_LIMITS, pruning_rates
from prunescope.reporting.figures.saving import save_figure
from prunescope.reporting.figures.scores import importance_heatmap
from prunescope.steps.planned import BEFORE_AFTER
from prunescope.steps.specs import BeforeAfterSpec

__all__ = [
    "PLOTS",
    "before_after",
    "gradient_analysis",
    "importance_heatmap",
    "pruning_rates",
    "save_before_after",
    "save_plot",
]

TABLE, SUMMARY = "importance_table.parquet", "pruning_summary.json"
STATISTICS, DIAGNOSIS = "gradient_statistics.json", "gradient_diagnosis.json"


def save_plot(name: str, directory: Path) -> Path:
    """Draw plot `name` of the experiment in `directory` to `visualization/{name}.png` (130 dpi) and `.svg`.

    Reads the files of `analysis/`; leaves a record in `records/plot_{name}.json`. Threshold and language are
    those of the report.

    Raises:
        ConfigError: no such plot. DataError: a file is missing or is not what it should be.
    """
    if name not in PLOTS:
        raise ConfigError(f"no plot '{name}'; {did_you_mean(name, [*PLOTS, BEFORE_AFTER])}")
    return _save(name, directory, PLOTS[name])


def save_before_after(spec: BeforeAfterSpec, directory: Path) -> Path:
    """Draw the experiment in `directory` beside its reference, whose folder is next to it; files as `save_plot`.

    Raises:
        DataError: a file is missing, or the reference has other layers.
    """
    before = read_rates(directory.parent / spec.reference / "analysis" / SUMMARY).layers

    def draw(analysis: Path, look: Look, words: Language) -> Figure:
        after = read_rates(analysis / SUMMARY).layers
        if not before.index.equals(after.index):
            raise DataError(
                f"{spec.reference} has {len(before)} layers and {spec.experiment} {len(after)}; "
                "only experiments of one model can be compared"
            )
        subtitle = comparison_lines(spec, before, after, look.extreme_rate, words)
        return before_after(before, after, look.extreme_rate, subtitle, words)

    return _save(BEFORE_AFTER, directory, draw)


@dataclass(frozen=True)
class Look:
    """What all plots of an experiment share: the extreme rate, the rates, and whose plot it is."""

    extreme_rate: float
    rates: Rates
    subtitle: str


Draw = Callable[[Path, Look, Language], Figure]


def _save(name: str, directory: Path, draw: Draw) -> Path:
    analysis = directory / "analysis"
    path = directory / "visualization" / f"{name}.png"
    record = directory / "records" / f"plot_{name}.json"
    with recording(f"plot_{name}", directory.name, record):
        report = read_json(analysis / DIAGNOSIS)
        # Ticks get their text while drawing, so that the font must stay until the files are written.
        with drawn_in(LANGUAGES[report.get("language", "en")]) as words:
            figure = draw(analysis, _look(directory, report["thresholds"]["extreme_rate"], words), words)
            save_figure(figure, path)
    return path


def _look(directory: Path, extreme_rate: float, words: Language) -> Look:
    summary = directory / "analysis" / SUMMARY
    rates = read_rates(summary)
    numbers = headline(rates, read_json(summary).get("ratio_of_total"), extreme_rate, words)
    return Look(extreme_rate, rates, f"{directory.parent.name} / {directory.name}\n{numbers}")


def _gradient_analysis(analysis: Path, look: Look, words: Language) -> Figure:
    evidence = read_evidence(analysis / STATISTICS, analysis / SUMMARY, analysis / TABLE)
    return gradient_analysis(evidence.layers, look.extreme_rate, look.subtitle, words)


def _pruning_rates(_: Path, look: Look, words: Language) -> Figure:
    return pruning_rates(look.rates, look.extreme_rate, look.rates.limits or NO_LIMITS, look.subtitle, words)


def _importance_heatmap(analysis: Path, look: Look, words: Language) -> Figure:
    return importance_heatmap(read_table(analysis / TABLE), look.subtitle, words)


PLOTS: dict[str, Draw] = {
    "gradient_analysis": _gradient_analysis,
    "pruning_rates": _pruning_rates,
    "importance_heatmap": _importance_heatmap,
}
