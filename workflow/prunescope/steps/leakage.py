"""What the evaluated texts of an experiment have in common with those it was pruned and trained by."""

from prunescope.config.leakage import Leakage, worst_leakage
from prunescope.config.resolve import Experiment
from prunescope.steps.texts import texts_of


def leakage(experiment: Experiment, *also: str) -> dict[str, Leakage]:
    """Return what each evaluated text has in common with the calibration texts and the datasets in `also`."""
    names = [name for dataset in (experiment.dataset, *also) for name in texts_of(experiment, dataset)]
    used = [experiment.texts[name] for name in names]
    return {name: worst_leakage(used, experiment.texts[name]) for name in experiment.settings.evaluation.datasets}
