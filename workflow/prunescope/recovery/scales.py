"""The scales step: one factor per kept group, trained end to end and folded into the output projections."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.folders import ExperimentFolder, ModelFolder, RefitTextFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.record import StepRecord
from prunescope.artifacts.scales import BlockFactors, HeldOutLoss, ScalesReport
from prunescope.environment import SAVE_STEPS, whole_number
from prunescope.files import canonical, replacing_directory
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import (
    attend_backwards,
    calibration_dtype,
    compute_dtype,
    compute_tags,
    default_device,
    forward_batch,
    load_together,
)
from prunescope.models.loss import batches
from prunescope.pruning.fitted import FittedLayers, Weights, load_repaired
from prunescope.pruning.refit import held_out_windows
from prunescope.recovery.cut_model import CutModel
from prunescope.recovery.objective import Objective
from prunescope.recovery.state import TrainingState
from prunescope.recovery.trained import Student
from prunescope.recovery.training import Course, train
from prunescope.steps.fingerprints import fingerprint
from prunescope.steps.job import Job
from prunescope.steps.repair import ScalesSpec
from prunescope.steps.table import TABLE

log = logging.getLogger(__name__)


def train_scales(job: Job[ScalesSpec, ExperimentFolder]) -> None:
    """Train the factors, and leave output projections with them where they help on held-out windows.

    While the run lasts its state is on the disk, from where a killed one goes on.

    Raises:
        ConfigError: `SAVE_STEPS` is no number. DataError: the model does not fit on the device.
        NonFiniteError: the loss is NaN or infinite. PrunescopeError: the plan does not fit the model; out of memory.
    """
    spec, folder, every = job.spec, job.folder, whole_number(SAVE_STEPS)
    facts = job.input(ModelFolder).ready()
    plan = PruningPlan.read(folder.plan.path, facts)
    repairs = folder.repairs({"refit"} if spec.refit else set())
    repaired = load_repaired(repairs)
    with job.recording(spec.model_dump(mode="json")) as record:
        device = default_device()
        dtype = compute_dtype(calibration_dtype(spec.dtype), device)
        models = load_together({"model": Path(facts.path)}, dtype, device, TABLE[spec.step].out_of_memory)
        record.tags |= compute_tags(models["model"])
        files = [file for repair in repairs for file in sorted(repair.path.iterdir())]
        told = canonical([spec.text(), record.tags, PlanFile.of(plan).removed, fingerprint(files)])
        identity = hashlib.sha256(told.encode()).hexdigest()
        windows = job.input(RefitTextFolder).samples.read()["input_ids"]
        attend_backwards(models["model"], windows.shape[1])
        cut = CutModel(adapter_for(models["model"]), plan, repaired)
        state = TrainingState(folder.scaling.path, identity, every)
        with cut.cut():
            report, weights = scale(cut, open_checkpoint(facts.path).read, windows, spec, state, record)
        with replacing_directory(folder.scaled.path) as temporary:
            _write(FittedLayers(temporary, identity), cut.adapter, weights if report.taken else {})
        folder.scales.write(report)
        state.discard()
        _note(record, report, facts.layers)


def scale(
    cut: CutModel,
    read: Callable[[str], Tensor],
    windows: Tensor,
    spec: ScalesSpec,
    state: TrainingState,
    record: StepRecord,
) -> tuple[ScalesReport, Weights]:
    """Train the factors of a model that is cut, and fold them into its weights.

    Args:
        read: returns a parameter of the unpruned model as it is stored.
        windows: int ``[n, tokens]``, at least two full windows; those that a refit holds out are held out here too.

    Returns:
        what they gave, and the folded weights by name, in the dtype that is stored.
    """
    objective, student = Objective(1.0, spec.kl_weight, cut.teacher), Student(cut.adapter.model, cut.factors)
    count = held_out_windows(len(windows))
    rows, held_out = windows[:-count], windows[-count:]
    before = held_out_loss(student, objective, held_out)
    if not cut.blocks:
        log.info("no block loses some of its groups: there is nothing to scale")
        return ScalesReport(0, held_out.numel(), spec.kl_weight, before, before, []), {}
    course = _course(spec, rows)
    rows = rows[: course.steps * course.batch_size]
    train(student, objective, TensorDataset(rows, rows), course, state, record)
    blocks = [BlockFactors(block.facts.layer, block.facts.block, *_range(block.factors)) for block in cut.blocks]
    weights = {block.grouped.name: block.fold(read) for block in cut.blocks}
    after = held_out_loss(student, objective, held_out)
    report = ScalesReport(course.tokens, held_out.numel(), spec.kl_weight, before, after, blocks)
    verdict = "they are folded in" if report.taken else "no better: the weights stay without factors"
    log.info("held-out loss %.4f without factors, %.4f with them: %s", report.loss_before, report.loss, verdict)
    return report, weights


def _course(spec: ScalesSpec, rows: Tensor) -> Course:
    """Return how the factors are trained on windows ``[n, tokens]``: each once at most."""
    windows, seq_len = rows.shape
    steps = max(1, min(round(spec.tokens / (spec.batch_size * seq_len)), windows // spec.batch_size))
    less = f"lower repair.scales.batch_size ({spec.batch_size})"
    less += "" if spec.checkpointing else " or set repair.scales.checkpointing: true"
    return Course(
        name="scales",
        section="repair.scales",
        rate_setting="learning_rate",
        steps=steps,
        tokens_per_step=spec.batch_size * seq_len,
        batch_size=spec.batch_size,
        accumulation=1,
        learning_rate=spec.learning_rate,
        schedule="cosine",
        warmup=0.0,
        weight_decay=0.0,
        seed=0,
        checkpointing=spec.checkpointing,
        less_memory=f"{less}, or lower repair.refit.seq_len ({seq_len})",
    )


@torch.no_grad()
def held_out_loss(student: Student, objective: Objective, windows: Tensor) -> HeldOutLoss:
    """Return the mean of both losses over the predicted tokens of windows, int ``[n, tokens]``."""
    student.eval()
    sums = {"ce": 0.0, "kl": 0.0}
    for batch in batches(windows, forward_batch(windows, student.model), next(student.model.parameters()).device):
        _, parts = objective.losses(student, batch[:, :-1], batch[:, 1:])
        for name, values in parts.items():
            sums[name] += values.sum(dtype=torch.float64).item()
    return HeldOutLoss(**{name: total / windows[:, 1:].numel() for name, total in sums.items()})


def _write(done: FittedLayers, adapter: ModelAdapter, weights: Weights) -> None:
    for layer in range(len(adapter.layers)):
        prefix = adapter.layer_prefix(layer)
        done.keep(layer, {name: values for name, values in weights.items() if name.startswith(prefix)}, [])


def _range(factors: Tensor) -> tuple[float, float, float]:
    return factors.mean().item(), factors.min().item(), factors.max().item()


def _note(record: StepRecord, report: ScalesReport, layers: int) -> None:
    record.metrics |= {
        "scales/taken": float(report.taken),
        "scales/held_out_ce_before": report.before.ce,
        "scales/held_out_ce": report.after.ce,
        "scales/held_out_kl_before": report.before.kl,
        "scales/held_out_kl": report.after.kl,
    }
    for kind in KINDS:
        found = {block.layer: block.mean for block in report.blocks if block.block == kind}
        record.curves[f"scales/{kind}_mean"] = [found.get(layer) for layer in range(layers)]
