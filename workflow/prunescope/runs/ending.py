"""The end of a run that succeeded: what came of what was asked for."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.errors import PrunescopeError
from prunescope.reporting.story import ending
from prunescope.steps.planned import PlannedSweep
from prunescope.steps.registry import Target

NOTHING = "Nothing to be done"
"""Begins what Snakemake says when all files are there."""


def tell(targets: Sequence[Target], sweeps: Sequence[PlannedSweep]) -> str:
    """Return what came of the experiments, the sweeps and the files of one that were asked for."""
    planned = {target.planned.directory: target.planned for target in targets if target.whole}
    planned |= {one.directory: one for sweep in sweeps for one in sweep.planned.values()}
    # What is listed in the configuration counts as asked for where something else was, such as a shared step.
    folders = [folder for folder in map(ExperimentFolder, map(Path, planned)) if folder.finished]
    compared = [ComparisonFolder(Path(sweep.directory)) for sweep in sweeps]
    files = [f"{target.planned.directory}/{target.file}" for target in targets if not target.whole]
    try:
        said = ending(folders, compared)
    except PrunescopeError as error:
        said = str(error)
    return "\n".join(filter(None, [said, *files]))


class NothingToDo(logging.Handler):
    """Calls `then` when Snakemake finds that all files are there, of which it tells no hook."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(NOTHING):
            self.then()
