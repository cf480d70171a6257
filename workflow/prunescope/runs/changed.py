"""Experiments that were made with other settings than they have now."""

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.identity import in_force
from prunescope.config.patches import flatten
from prunescope.steps.planned import Planned
from prunescope.steps.reporting import PageSpec


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
    others = [path for path in made.params | settings if made.params.get(path) != settings.get(path)]
    return (
        f"{now.model} / {now.experiment} was made with other settings ({', '.join(others) or 'and another version'}). "
        "Its steps run again where Snakemake remembers what they were told; in a folder whose .snakemake was deleted "
        "or not copied, end the command with --forcerun importance"
    )
