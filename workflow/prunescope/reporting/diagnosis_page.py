"""The report as one HTML page that needs nothing beside it: no script, no network; the figure is inside."""

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.diagnosis.inputs import read_rates
from prunescope.diagnosis.words import LANGUAGES
from prunescope.reporting.figures.subtitle import experiment_name, what_went
from prunescope.reporting.remedies import next_line, remedies_once
from prunescope.reporting.rendering import encoded, render

FIGURE = "gradient_analysis"


def write_diagnosis_page(folder: ExperimentFolder) -> None:
    """Write the page of an experiment in the language of its report.

    Raises:
        DataError: the report or the summary is missing. FileNotFoundError: the figure is.
    """
    report = folder.diagnosis.read()
    language = LANGUAGES[report.language]
    layers = read_rates(folder.summary.path).layers
    commands, patches = remedies_once(report)
    page = render(
        "diagnosis_page.html.j2",
        language=language.code,
        words=language.labels,
        percent=language.percent,
        title=experiment_name(folder),
        subtitle=what_went(folder.summary.read(), layers, report.thresholds.extreme_rate, language),
        report=report,
        commands=commands,
        patches=patches,
        run=next_line(report),
        figure=encoded(folder.named(ExperimentFolder.vector, plot=FIGURE).path),
    )
    folder.diagnosis_page.write(page)
