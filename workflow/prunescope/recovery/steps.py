"""The recovery step: train the pruned checkpoint, and write it with what it learned."""

import logging

import torch
from torch import nn
from torch.utils.data import TensorDataset

from prunescope.artifacts.folders import ExperimentFolder, ModelFolder, RecoveryTextFolder
from prunescope.environment import SAVE_STEPS, whole_number
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import (
    attend_backwards,
    calibration_dtype,
    compute_dtype,
    compute_tags,
    default_device,
    load_model,
    load_together,
)
from prunescope.packages import PEFT
from prunescope.recovery.objective import Objective, Teacher
from prunescope.recovery.state import TrainingState
from prunescope.recovery.trained import Student, Trained, write_trained
from prunescope.steps.fingerprints import fingerprint
from prunescope.steps.job import Job
from prunescope.steps.recovery import RecoverySpec
from prunescope.steps.table import TABLE

log = logging.getLogger(__name__)

OPTIMIZER_BYTES = 12
"""Per trained parameter, float32: its gradient and two moments."""

OFTEN = 1.5
"""Times that a text is read from which on it is being learned by heart (docs/recovery.md, Measured)."""


def train_and_merge(job: Job[RecoverySpec, ExperimentFolder]) -> None:
    """Train the pruned checkpoint and write it with what it learned.

    While the run lasts its state is on the disk, from where a killed one goes on.

    Raises:
        ConfigError: peft is needed and not installed, or `SAVE_STEPS` is no number.
        NonFiniteError: the loss is NaN or infinite. PrunescopeError: out of memory.
    """
    from prunescope.recovery.training import Course, train

    spec, checkpoint, every = job.spec, job.folder.checkpoint.path, whole_number(SAVE_STEPS)
    with job.recording(spec.model_dump(mode="json")) as record:
        device = default_device()
        dtype = compute_dtype(calibration_dtype(spec.dtype), device)
        model = load_together({spec.task: checkpoint}, dtype, device, TABLE[spec.step].out_of_memory)[spec.task]
        tags = compute_tags(model)
        text = job.input(RecoveryTextFolder)
        samples = text.samples.read()
        rows = TensorDataset(samples["input_ids"], samples["labels"])
        attend_backwards(model, rows.tensors[0].shape[1])
        trained = trainable(model, job)
        size = sum(parameter.numel() for parameter in trained.parameters)
        log.info("%s parameters are trained: %s", f"{size:,}", spec.train)
        objective = Objective.of(spec, teacher(job, OPTIMIZER_BYTES * size) if spec.distils else None)
        # Weights may be cut anew under the same settings.
        files = sorted(file for file in checkpoint.iterdir() if file.suffix in (".json", ".safetensors"))
        state = TrainingState(job.folder.training.path, f"{spec.text()} {fingerprint(files)} {tags}", every)
        course = Course.of(spec, text.manifest.read().tokens / len(rows))
        record.metrics["recover/times_read"] = read = course.rows / len(rows)
        if read > OFTEN:
            log.warning(
                "the text is read %.1f times, and so learned by heart, which helps no other text: lower "
                "recovery.tokens (%s), or give recovery.dataset more text than these %s windows",
                *(read, f"{spec.tokens:,}", f"{len(rows):,}"),
            )
        train(Student(model, trained.parameters), objective, rows, course, state, record)
        write_trained(trained, checkpoint, job.folder.recovered.path)
        state.discard()
        record.metrics["recover/trained_parameters"] = size
        record.tags |= tags


def trainable(model: nn.Module, job: Job[RecoverySpec, ExperimentFolder]) -> Trained:
    """Return what is trained of a model, which is changed in place."""
    if job.spec.train == "projections":
        from prunescope.recovery.projections import Projections

        return Projections(model, open_checkpoint(job.folder.checkpoint.path).read)
    PEFT.require()
    from prunescope.recovery.adapters import Adapters

    return Adapters(model, job.spec)


def teacher(job: Job[RecoverySpec, ExperimentFolder], reserved: int) -> Teacher:
    """Load the unpruned model in the dtype of the pruned one; layer by layer as it runs, where both do not fit.

    Args:
        reserved: bytes that training will need on the device.
    """
    model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(job.spec.dtype), reserved)

    @torch.no_grad()
    def states(input_ids: torch.Tensor) -> torch.Tensor:
        return model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state.to(input_ids.device)

    return Teacher(states, model.get_output_embeddings())
