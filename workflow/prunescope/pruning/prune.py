"""The pruning step: cut by the plan, unless the diagnosis forbids it."""

from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.errors import PrunescopeError
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.fitted import load_repaired
from prunescope.steps.job import Job
from prunescope.steps.pruning import PruningSpec


class CriticalDiagnosis(PrunescopeError):
    """The diagnosis is critical and the configuration says to stop."""


def prune(job: Job[PruningSpec, ExperimentFolder]) -> None:
    """Cut the weights by the plan and write the checkpoint, with what repairs left where there were any.

    Raises:
        CriticalDiagnosis: there is a critical finding, and `stop_if_critical` is set.
        PrunescopeError: the plan does not fit the model.
    """
    if job.spec.stop_if_critical:
        check_diagnosis(job.folder)
    facts = job.input(ModelFolder).ready()
    plan = PruningPlan.read(job.folder.plan.path, facts)
    checkpoint = job.folder.checkpoint.path
    with job.recording() as record:
        fitted = load_repaired(job.folder.repairs(job.spec.repairs))
        written = write_checkpoint(facts, plan, checkpoint, experiment=job.spec.experiment, fitted=fitted)
        record.metrics["prune/checkpoint_parameters"] = written
        record.metrics["prune/checkpoint_bytes"] = CheckpointFolder(checkpoint).stored_bytes


def check_diagnosis(folder: ExperimentFolder) -> None:
    """Stop before any weight is cut when the diagnosis is critical.

    Raises:
        CriticalDiagnosis: names the findings and the report.
    """
    findings = folder.diagnosis.read().diagnosis
    critical = [finding.issue for finding in findings if finding.severity == "critical"]
    if critical:
        raise CriticalDiagnosis(
            f"diagnosis.on_critical = fail: {'; '.join(critical)}; no weight was cut, the report is "
            f"{folder.diagnosis.path}"
        )
