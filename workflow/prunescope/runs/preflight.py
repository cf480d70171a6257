"""What can be known to fail before anything runs."""

from pathlib import Path

from prunescope.artifacts.folders import ModelFolder
from prunescope.errors import DataError, PrunescopeError
from prunescope.importance.limits import check_feasible
from prunescope.steps.planned import Planned
from prunescope.tracking.store import tracking_uri


def check_reachable(planned: Planned) -> None:
    """Check that the packages for optional steps are installed, that the tracking store has an address and, for a model
    that has been obtained before, that the ratio can be reached under its limits.

    Raises:
        PrunescopeError: says what is missing or wrong; of a ratio, the largest reachable one and the limits that bind.
    """
    for task in (*planned.shared, *planned.own):
        if task.step.package:
            task.step.package.require()
    if planned.experiment.tracking.enabled:
        tracking_uri(planned.experiment.tracking.uri)
    model = ModelFolder(Path(planned.tasks["model"].folder))
    if not model.facts.exists():
        return
    try:
        facts = model.ready()
    except DataError:
        return  # the checkpoint is gone; the step that needs it says so
    try:
        check_feasible(facts, planned.experiment.settings.method, planned.experiment.settings.limits)
    except PrunescopeError as error:
        name = f"{planned.experiment.model}/{planned.experiment.name}"
        raise type(error)(f"{name}: {error}") from None


def check_finished(planned: Planned) -> None:
    """Check that an experiment is complete, for a report of a sweep that shows what there is.

    Raises:
        DataError: names a file that is missing.
    """
    missing = [file for file in planned.files() if not Path(file).exists()]
    if missing:
        raise DataError(f"not finished: {missing[0]} is not there")
