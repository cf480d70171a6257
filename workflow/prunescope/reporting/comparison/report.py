"""The comparison step: from the folders of a sweep's experiments to one table, page and figures."""

import logging

from prunescope.artifacts.diagnosis import Recommendation
from prunescope.artifacts.folders import ComparisonFolder
from prunescope.diagnosis.words import ENGLISH
from prunescope.errors import DataError
from prunescope.reporting.comparison.figures import FIGURES
from prunescope.reporting.comparison.frame import Comparison, read_comparison
from prunescope.reporting.comparison.recommend import best, recommend
from prunescope.reporting.comparison.show import as_page
from prunescope.reporting.figures.fonts import drawn_in
from prunescope.reporting.figures.style import save_figure
from prunescope.reporting.rendering import as_html
from prunescope.steps.job import Job
from prunescope.steps.reporting import ComparisonSpec

log = logging.getLogger(__name__)


def compare(job: Job[ComparisonSpec, ComparisonFolder]) -> None:
    """Write table, page, recommendation and figures of a sweep, whose experiments are found from its folder.

    Raises:
        DataError: no experiment is there, or a file of one is missing.
    """
    spec, folder = job.spec, job.folder
    there = [name for name in spec.experiments if name not in spec.missing]
    if not there:
        raise DataError(f"sweep {spec.sweep} on {spec.model}: no experiment finished, so there is nothing to compare")
    folder.record.path.unlink(missing_ok=True)
    with job.recording():
        _write(read_comparison(folder.path.parents[1] / name for name in there), spec, folder)
    if spec.partial:
        folder.record.path.unlink()


def _write(compared: Comparison, spec: ComparisonSpec, folder: ComparisonFolder) -> None:
    folder.table.write(compared.table().reset_index())
    title = f"{spec.model} / {spec.sweep}"
    with drawn_in(ENGLISH):
        for file, draw in FIGURES.items():
            path = folder.named(file).path
            save_figure(draw(compared, title), path, path.with_suffix(".svg"))
    page = as_page(compared, title, spec.missing)
    folder.page.write(page)
    folder.html.write(as_html(page, title, folder.path))
    sentences = recommend(compared)
    folder.recommendation.write(
        Recommendation(recommended=best(compared), experiments=list(compared.folders), sentences=sentences)
    )
    for sentence in sentences:
        log.info("%s", sentence)
