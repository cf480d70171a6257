"""Sections of the page about what was done and by which protocol, as Markdown."""

from prunescope.artifacts.card import CalibrationTokens, EvaluatedText, ProtocolCard
from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, RecoveryTextFolder
from prunescope.artifacts.summary import PruningSummary
from prunescope.markdown import pairs
from prunescope.reporting.captions import method_in_words
from prunescope.reporting.dtypes import dtypes_of, in_words, mixed_within
from prunescope.reporting.rendering import render
from prunescope.steps.job import Job
from prunescope.steps.recovery import RecoverySpec
from prunescope.steps.repair import RefitSpec, ScalesSpec
from prunescope.steps.reporting import PageSpec


def settings_table(spec: PageSpec, facts: ModelFacts, summary: PruningSummary) -> str:
    """Return what was done, by which settings, and how much went."""
    calibration = spec.settings.calibration
    origin = facts.origin + (f" at {facts.revision}" if facts.revision else "")
    rows = [
        ("parent", f"{origin} ({spec.parent_license or 'licence unknown'})"),
        ("criterion", method_in_words(spec.settings.method)),
        (
            "calibration",
            f"{spec.dataset} ({spec.data_license or 'licence unknown'}), {calibration.samples} windows of "
            f"{calibration.seq_len} tokens",
        ),
        ("parameters", f"{summary.total_parameters:,} -> {summary.remaining_parameters:,}"),
        ("removed, of all parameters", f"{summary.ratio_of_total:.2%}"),
        ("removed, of the decoder layers", f"{summary.ratio_of_decoder:.2%}"),
        ("attention / MLP rate", f"{summary.attention_rate:.1%} / {summary.mlp_rate:.1%}"),
        ("layers dropped", ", ".join(map(str, summary.layers_dropped)) or "none"),
    ]
    return pairs(rows)


def trained_on(job: Job[PageSpec, ExperimentFolder]) -> str:
    """Return a paragraph: how the pruned model was trained, on what, and for how long."""
    return render(
        "trained.md.j2",
        told=job.spec.settings.recovery,
        dataset=job.spec.dataset,
        text=job.input(RecoveryTextFolder).manifest.read(),
        metrics=job.folder.named(ExperimentFolder.record, step=RecoverySpec.step).read().metrics,
    ).strip()


def repaired(job: Job[PageSpec, ExperimentFolder]) -> str | None:
    """Return a paragraph for each repair: what was done, on what, and what it gave; None where there was none."""
    paragraphs = {RefitSpec.step: _refitted, ScalesSpec.step: _scaled}
    return "\n\n".join(tell(job) for step, tell in paragraphs.items() if step in job.spec.steps) or None


def _scaled(job: Job[PageSpec, ExperimentFolder]) -> str:
    report = job.folder.scales.read()
    before, after = report.before, report.after
    given = (
        f"cross-entropy from {before.ce:.3f} to {after.ce:.3f}, and KL to the unpruned model from {before.kl:.3f} to "
    )
    given += f"{after.kl:.3f} nats per token"
    did = f"brought {given}" if report.taken else f"brought {given}: no gain, so that the weights stay without them"
    return (
        f"One factor per kept group of {len(report.blocks)} blocks was trained on {report.tokens:,} tokens of the "
        f"calibration split of {job.spec.dataset}, to be folded into the output projections. On "
        f"{report.held_out_tokens:,} others the factors {did}."
    )


def _refitted(job: Job[PageSpec, ExperimentFolder]) -> str:
    report = job.folder.refit.read()
    return (
        f"{len(report.fitted)} of {len(report.blocks)} output projections were fitted to the unpruned model by damped "
        f"least squares, on {report.tokens:,} tokens of the calibration split of {job.spec.dataset}. On "
        f"{report.held_out_tokens:,} others the error of the residual stream after these blocks (a share of its "
        f"square, mean of the blocks) fell from {report.cut_error:.1%} to {report.error:.1%}."
    )


def protocol_table(card: ProtocolCard) -> str:
    """Return what must be the same before figures are compared."""
    pruning, hardware = card.pruning, card.hardware
    rows = [
        (
            "removed",
            f"{pruning.removed_of_total:.4%} of all parameters, {pruning.removed_of_decoder:.4%} of the decoder "
            f"layers (asked: {pruning.asked_of_total:.4%} of all)",
        ),
        (
            "calibration tokens",
            f"{_source(card.calibration)}, seed {card.calibration.seed}, `{card.calibration.sha256[:16]}`",
        ),
    ]
    for text, evaluated in card.evaluation.items():
        hashes = ", ".join(f"{name} `{found.sha256[:16]}`" for name, found in evaluated.protocols.items())
        rows.append((f"test tokens, {text}", f"{_source(evaluated)}, {evaluated.split}, no BOS: {hashes}"))
    devices = sorted({found.device for found in card.compute.values()})
    rows += [
        ("compute dtype", in_words(dtypes_of(card))),
        ("computed on", f"{', '.join(devices)}; {hardware.device_name}, {hardware.system}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())),
        ("commit", card.git_sha or "not in a git checkout"),
    ]
    said = [pairs(rows), mixed_within(card), f"In full, with whole hashes: `{ExperimentFolder.card.path}`."]
    return "\n\n".join(filter(None, said))


def _source(described: CalibrationTokens | EvaluatedText) -> str:
    return described.source + (f" at {described.revision}" if described.revision else "")
