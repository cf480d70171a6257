"""What can be said before anything runs: what must fail, and which experiments were made with other settings."""

from pathlib import Path

from prunescope.artifacts.folders import ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import in_force
from prunescope.config.candidates import DECIDES
from prunescope.config.patches import flatten
from prunescope.config.resolve import essential, resolve
from prunescope.config.sections import Config
from prunescope.errors import ConfigError, DataError, PrunescopeError
from prunescope.importance.feasible import check_feasible
from prunescope.steps.planned import Planned
from prunescope.steps.reporting import PageSpec
from prunescope.tracking.store import check_folder, tracking_uri


def check_reachable(planned: Planned) -> None:
    """Check that the packages for optional steps are installed, that the tracking store has an address and, for a model
    that has been obtained before, that the ratio can be reached under its limits.

    Raises:
        PrunescopeError: says what is missing or wrong; of a ratio, the largest reachable one and the limits that bind.
    """
    for task in (*planned.shared, *planned.own):
        if task.step.package and task.spec.needs_package:
            task.step.package.require()
    if planned.experiment.tracking.enabled:
        check_folder(tracking_uri(planned.experiment.tracking.uri))
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


def twin(planned: Planned, config: Config) -> str | None:
    """Say that an experiment which is to be made is there under another name; None where it is not."""
    experiment = planned.experiment
    if experiment.settings.method.searched or ExperimentFolder(Path(planned.directory)).finished:
        return None
    for folder in ExperimentFolder.all(experiment.model):
        try:
            other = resolve(config, experiment.model, folder.path.name)
        except ConfigError:
            continue  # made under another configuration
        if other.name != experiment.name and folder.finished and essential(other) == essential(experiment):
            shared = other.settings.method.combine == "share"
            idle = "T decides nothing under `share`" if shared else "tau at its default, or at T = 0, decides nothing"
            return f"{planned.directory} is the same experiment as {other.name}, which is there: {idle}"
    return None


def changed(planned: Planned) -> str | None:
    """Say that an experiment was made with other settings, and with which; None where it was not or is not there.

    Keys tell shared steps apart, but what the experiment's own steps were told only Snakemake remembers: where its
    `.snakemake` folder is gone, it takes old files for new ones.
    """
    identity = ExperimentFolder.of(planned.experiment.model, planned.experiment.name).identity
    if not identity.exists():
        return None
    made, now = identity.read(), planned.tasks["page"].spec
    assert isinstance(now, PageSpec)
    if made.key == now.key:
        return None
    settings = {"dataset": now.dataset} | flatten(in_force(now.settings))
    found = (*DECIDES, "search") if now.settings.method.searched else ()
    others = [
        path
        for path in made.params | settings
        if made.params.get(path) != settings.get(path) and path.partition(".")[0] not in found
    ]
    return (
        f"{now.model} / {now.experiment} was made with other settings ({', '.join(others) or 'and another version'}). "
        "Its steps run again where Snakemake remembers what they were told; in a folder whose .snakemake was deleted "
        "or not copied, end the command with --forcerun importance"
    )
