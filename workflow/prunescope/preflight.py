"""What can be known to fail before anything runs."""

from collections.abc import Iterable
from pathlib import Path

from prunescope.config.registry import Planned
from prunescope.errors import DataError, PrunescopeError
from prunescope.importance.feasibility import check_feasible
from prunescope.models.facts import ModelFacts


def check_reachable(experiments: Iterable[Planned]) -> None:
    """Check that each ratio can be reached under its limits, for models that have been obtained before.

    Raises:
        PrunescopeError: names the experiment, the largest reachable ratio and the limits that bind.
    """
    for planned in experiments:
        file = Path(planned.shared["model"].file("model.json"))
        if not file.is_file():
            continue
        try:
            facts = ModelFacts.read(file)
        except DataError:
            continue  # the checkpoint is gone; the step that needs it says so
        try:
            check_feasible(facts, planned.experiment.settings.method, planned.experiment.settings.limits)
        except PrunescopeError as error:
            name = f"{planned.experiment.model}/{planned.experiment.name}"
            raise type(error)(f"{name}: {error}") from None
