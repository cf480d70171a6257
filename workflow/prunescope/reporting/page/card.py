"""The protocol card: everything that must be the same before two evaluations may be compared."""

from prunescope.artifacts.card import (
    CalibrationTokens,
    Compute,
    EvaluatedText,
    EvaluatedTokens,
    Parent,
    ProtocolCard,
    RecoveryTokens,
    RefitTokens,
    Removed,
    Seeds,
)
from prunescope.artifacts.folders import (
    CalibrationFolder,
    EvaluationTextFolder,
    ExperimentFolder,
    ModelFolder,
    RecoveryTextFolder,
    RefitTextFolder,
)
from prunescope.artifacts.manifests import Tokens
from prunescope.artifacts.perplexity import PerplexityReport
from prunescope.steps.evaluation import EvaluationSpec
from prunescope.steps.job import Job
from prunescope.steps.reporting import PageSpec


def protocol_card(job: Job[PageSpec, ExperimentFolder]) -> ProtocolCard:
    """Return the card of an evaluated experiment, collected from the files of its steps."""
    spec, folder = job.spec, job.folder
    facts, summary, perplexity = job.input(ModelFolder).facts.read(), folder.summary.read(), folder.perplexity.read()
    record = folder.named(ExperimentFolder.record, step=EvaluationSpec.step).read()
    calibration = job.input(CalibrationFolder).manifest.read()
    more: dict[str, Tokens] = {}
    if job.reads(RefitTextFolder):
        more["refit"] = RefitTokens.of(job.input(RefitTextFolder).manifest.read())
    if job.reads(RecoveryTextFolder):
        more["recovery"] = RecoveryTokens.of(job.input(RecoveryTextFolder).manifest.read())
    return ProtocolCard(
        experiment=f"{spec.model}/{spec.experiment}",
        parent=Parent(origin=facts.origin, revision=facts.revision, license=spec.parent_license),
        pruning=Removed(
            asked_of_total=spec.settings.method.ratio,
            removed_of_total=summary.ratio_of_total,
            removed_of_decoder=summary.ratio_of_decoder,
            parameters_before=summary.total_parameters,
            parameters_after=summary.remaining_parameters,
        ),
        calibration=CalibrationTokens.of(calibration, spec.dataset, spec.data_license),
        **more,
        evaluation=_evaluation(job, perplexity),
        seeds=Seeds(calibration=spec.settings.calibration.seed, bootstrap=perplexity.settings.interval.seed),
        compute=_compute(job),
        hardware=perplexity.settings.hardware,
        versions=record.versions,
        git_sha=record.git_sha,
    )


def _evaluation(job: Job[PageSpec, ExperimentFolder], perplexity: PerplexityReport) -> dict[str, EvaluatedText]:
    entry = job.input(EvaluationTextFolder).manifest
    manifest, card = entry.read(), {}
    for text, protocols in perplexity.pruned.items():
        (leakage,) = {result.leakage for result in protocols.values()}
        with entry.complete():
            measured = manifest[text].model_dump(exclude_unset=True)
        card[text] = EvaluatedText(
            **measured,
            max_tokens=job.spec.settings.evaluation.max_tokens,
            leakage=leakage,
            protocols={name: EvaluatedTokens.of(result) for name, result in protocols.items()},
        )
    return card


def _compute(job: Job[PageSpec, ExperimentFolder]) -> dict[str, Compute]:
    """Return device and dtype of every step that computed with a model."""
    records = {step: job.folder.shared(step, path.name).record for step, path in job.inputs.items()}
    records |= {step: job.folder.named(ExperimentFolder.record, step=step) for step in job.spec.steps}
    tags = {step: record.read().tags for step, record in records.items()}
    return {
        step: Compute(**{key: found[key] for key in ("device", "dtype") if key in found})
        for step, found in tags.items()
        if "device" in found
    }
