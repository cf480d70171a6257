"""The report as one HTML page that needs nothing beside it: no script, no network; the figure is inside."""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from prunescope.diagnosis.content import remedies_once
from prunescope.diagnosis.inputs import read_rates
from prunescope.diagnosis.words import LANGUAGES
from prunescope.files import read_json, write_text
from prunescope.reporting.figures.headline import headline

FILE = "diagnosis.html"
TEMPLATE = "page.html.j2"


def write_diagnosis_page(directory: Path) -> None:
    """Write ``analysis/diagnosis.html`` of an experiment in the language of its report.

    Raises:
        DataError: the report, the summary or the figure ``gradient_analysis.svg`` is missing.
    """
    write_text(directory / "analysis" / FILE, render_diagnosis(directory))


def render_diagnosis(directory: Path) -> str:
    """Return the page, of `directory` (results/{model}/{experiment}), as HTML."""
    report = read_json(directory / "analysis/gradient_diagnosis.json")
    summary = directory / "analysis/pruning_summary.json"
    # Reports of before there were languages are in English.
    language = LANGUAGES[report.get("language", "en")]
    numbers = (read_json(summary).get("ratio_of_total"), report["thresholds"]["extreme_rate"])
    commands, patches = remedies_once(report)
    pages = Environment(
        loader=PackageLoader("prunescope", "reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    return pages.get_template(TEMPLATE).render(
        language=language.code,
        words=language.labels,
        percent=language.percent,
        title=f"{directory.parent.name} / {directory.name}",
        headline=headline(read_rates(summary), *numbers, language),
        report=report,
        commands=commands,
        patches=patches,
        figure=base64.b64encode((directory / "visualization/gradient_analysis.svg").read_bytes()).decode(),
    )
