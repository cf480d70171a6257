"""The figures of an experiment: functions from frames to figures, and what reads and writes files.

Each is written as PNG and as SVG. The SVG holds English text as text; Chinese is drawn as outlines, since a reader's
machine may lack the characters. The same numbers give the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.diagnosis.evidence import Rates, join_evidence
from prunescope.diagnosis.inputs import read_rates, read_statistics
from prunescope.diagnosis.words import LANGUAGES, Language
from prunescope.errors import ConfigError, DataError, did_you_mean
from prunescope.reporting.figures.before_after import before_after, comparison_lines, perplexity_lines
from prunescope.reporting.figures.fonts import drawn_in
from prunescope.reporting.figures.gradients import gradient_analysis
from prunescope.reporting.figures.rates import pruning_rates
from prunescope.reporting.figures.scores import importance_heatmap
from prunescope.reporting.figures.search import search_figure
from prunescope.reporting.figures.style import save_figure
from prunescope.reporting.figures.subtitle import experiment_name, what_went
from prunescope.reporting.figures.trials import trials_figure
from prunescope.steps.diagnosis import BeforeAfterSpec, PlotSpec, differences
from prunescope.steps.job import Job


@dataclass(frozen=True)
class Look:
    """What the figures of an experiment share; threshold and language are those of its report."""

    extreme_rate: float
    rates: Rates
    subtitle: str
    words: Language


Draw = Callable[[ExperimentFolder, Look], Figure]


def plot(job: Job[PlotSpec, ExperimentFolder]) -> None:
    """Draw one of the experiment's figures as PNG and SVG.

    Raises:
        ConfigError: there is no such figure. DataError: a file is missing or damaged.
    """
    with job.recording():
        draw(job.folder, job.spec.plot)


def plot_before_after(job: Job[BeforeAfterSpec, ExperimentFolder]) -> None:
    """Draw the experiment beside its reference, as PNG and SVG.

    Raises:
        DataError: a file is missing or damaged, or the reference has other layers.
    """
    with job.recording():
        _draw_before_after(job.folder, job.spec)


def draw(folder: ExperimentFolder, name: str, reference: str | None = None) -> None:
    """Draw a figure by its name; `reference`: for ``before_after``, see `beside`.

    Raises:
        ConfigError: there is no such figure, or no reference. DataError: a file is missing or damaged.
    """
    if name == BeforeAfterSpec.step:
        _draw_before_after(folder, beside(folder, reference))
    elif name in PLOTS:
        files = (folder.named(file, plot=name) for file in (ExperimentFolder.figure, ExperimentFolder.vector))
        _save(folder, PLOTS[name], *files)
    else:
        raise ConfigError(f"no plot '{name}'; {did_you_mean(name, [*PLOTS, BeforeAfterSpec.step])}")


def beside(folder: ExperimentFolder, reference: str | None = None) -> BeforeAfterSpec:
    """Return how a finished experiment compares with one next to it: `reference`, or the one of its configuration.

    Raises:
        ConfigError: there is no reference, or it is the experiment itself.
        DataError: one of the two has not finished.
    """
    told = folder.identity.read()
    reference = reference or told.settings.report.reference
    if reference is None:
        raise ConfigError(
            f"{folder.path} has no reference; pass --reference with an experiment beside it, or set report.reference "
            "in the configuration"
        )
    if reference == told.experiment:
        raise ConfigError(f"--reference {reference}: an experiment is not compared with itself")
    before = _next_to(folder, reference).identity.read()
    changes = differences(before, told)
    return BeforeAfterSpec(model=told.model, experiment=told.experiment, reference=reference, changes=changes)


def _next_to(folder: ExperimentFolder, experiment: str) -> ExperimentFolder:
    return ExperimentFolder(folder.path.resolve().parent / experiment)


def _draw_before_after(folder: ExperimentFolder, spec: BeforeAfterSpec) -> None:
    reference = _next_to(folder, spec.reference)
    before = read_rates(reference.summary.path).layers

    def draw(_: ExperimentFolder, look: Look) -> Figure:
        after = look.rates.layers
        if not before.index.equals(after.index):
            raise DataError(
                f"{spec.reference} has {len(before)} layers and {spec.experiment} {len(after)}; "
                "only experiments of one model can be compared"
            )
        lines = [comparison_lines(spec, before, after, look.extreme_rate, look.words)]
        if reference.perplexity.exists() and folder.perplexity.exists():
            lines.append(perplexity_lines(reference.perplexity.read(), folder.perplexity.read(), look.words))
        return before_after(before, after, look.extreme_rate, "\n".join(filter(None, lines)), look.words)

    _save(folder, draw, folder.before_after, folder.before_after_vector)


def _save(folder: ExperimentFolder, draw: Draw, *files: Entry) -> None:
    report, summary = folder.diagnosis.read(), folder.summary.read()
    rates, extreme_rate = read_rates(folder.summary.path), report.thresholds.extreme_rate
    # Ticks get their text while drawing, so that the font must stay until the files are written.
    with drawn_in(LANGUAGES[report.language]) as words:
        subtitle = f"{experiment_name(folder)}\n{what_went(summary, rates.layers, extreme_rate, words)}"
        figure = draw(folder, Look(extreme_rate, rates, subtitle, words))
        save_figure(figure, *(file.path for file in files))


def _gradient_analysis(folder: ExperimentFolder, look: Look) -> Figure:
    evidence = join_evidence(read_statistics(folder.statistics.path), look.rates, folder.table.read())
    return gradient_analysis(evidence.layers, look.extreme_rate, look.subtitle, look.words)


def _pruning_rates(_: ExperimentFolder, look: Look) -> Figure:
    return pruning_rates(look.rates, look.extreme_rate, look.subtitle, look.words)


def _importance_heatmap(folder: ExperimentFolder, look: Look) -> Figure:
    return importance_heatmap(folder.table.read(), look.subtitle, look.words)


def _trials(folder: ExperimentFolder, look: Look) -> Figure:
    return trials_figure(folder.trials.read(), look.subtitle, look.words)


def _search(folder: ExperimentFolder, look: Look) -> Figure:
    return search_figure(folder.search.read(), folder.searched.read(), look.subtitle, look.words)


PLOTS: dict[str, Draw] = {
    "gradient_analysis": _gradient_analysis,
    "pruning_rates": _pruning_rates,
    "importance_heatmap": _importance_heatmap,
    "trials": _trials,
    "search": _search,
}
