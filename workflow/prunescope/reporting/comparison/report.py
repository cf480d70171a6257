"""The comparison step: from the folders of a sweep's experiments to one table, page and figures."""

import logging
from pathlib import Path

from prunescope.artifacts.record import recording
from prunescope.diagnosis.words import ENGLISH
from prunescope.errors import DataError
from prunescope.files import replacing, write_json, write_text
from prunescope.reporting.comparison.figures import FIGURES
from prunescope.reporting.comparison.frame import Comparison, read_comparison
from prunescope.reporting.comparison.recommend import best, recommend
from prunescope.reporting.comparison.show import write_markdown
from prunescope.reporting.figures.fonts import drawn_in
from prunescope.reporting.figures.saving import save_figure
from prunescope.reporting.html import as_html
from prunescope.steps.specs import ComparisonSpec

log = logging.getLogger(__name__)

RECORD = "record.json"


def write_comparison(spec: ComparisonSpec, directory: Path, partial: bool = False) -> None:
    """Write ``comparison.csv``, ``comparison.md`` and ``.html``, ``recommendation.json`` and the figures of a sweep.

    Args:
        directory: ``results/{model}/comparison/{sweep}``; the experiments are found from there.
        partial: a failed run compares what there is. No record is left, so that the next run compares again.

    Raises:
        DataError: no experiment is there, or a file of one is missing.
    """
    there = [directory.parents[1] / name for name in spec.experiments if name not in spec.missing]
    if not there:
        raise DataError(f"sweep {spec.sweep} on {spec.model}: no experiment finished, so there is nothing to compare")
    record = directory / RECORD
    record.unlink(missing_ok=True)
    with recording(spec.step, f"{spec.model}/{spec.sweep}", record):
        _write(read_comparison(there), spec, directory)
    if partial:
        record.unlink()


def _write(compared: Comparison, spec: ComparisonSpec, directory: Path) -> None:
    with replacing(directory / "comparison.csv") as temporary:
        compared.table().to_csv(temporary)
    title = f"{spec.model} / {spec.sweep}"
    with drawn_in(ENGLISH):
        for name, draw in FIGURES.items():
            save_figure(draw(compared, title), directory / f"{name}.png")
    page = write_markdown(compared, title, spec.missing)
    write_text(directory / "comparison.md", page)
    write_text(directory / "comparison.html", as_html(page, title, directory))
    sentences = recommend(compared)
    write_json(
        directory / "recommendation.json",
        {"recommended": best(compared), "experiments": list(compared.directories), "sentences": sentences},
    )
    for sentence in sentences:
        log.info("%s", sentence)
