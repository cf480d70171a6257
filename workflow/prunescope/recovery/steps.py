"""The recovery step: train the pruned checkpoint, merge, write."""

import logging

from prunescope.artifacts.folders import ExperimentFolder, RecoveryTextFolder
from prunescope.environment import SAVE_STEPS, whole_number
from prunescope.models.loading import calibration_dtype, compute_dtype, compute_tags, default_device, load_together
from prunescope.packages import PEFT
from prunescope.recovery.state import TrainingState
from prunescope.steps.fingerprints import fingerprint
from prunescope.steps.job import Job
from prunescope.steps.recovery import RecoverySpec
from prunescope.steps.table import TABLE

log = logging.getLogger(__name__)


def train_and_merge(job: Job[RecoverySpec, ExperimentFolder]) -> None:
    """Train adapters for the pruned checkpoint and write it with what they learned.

    While the run lasts its state is on the disk, from where a killed one goes on.

    Raises:
        ConfigError: peft is not installed, or `SAVE_STEPS` is no number. NonFiniteError: the loss is NaN or infinite.
        PrunescopeError: out of memory.
    """
    PEFT.require()
    from prunescope.recovery.adapters import add_adapters, write_merged
    from prunescope.recovery.training import train

    spec, checkpoint, every = job.spec, job.folder.checkpoint.path, whole_number(SAVE_STEPS)
    with job.recording(spec.model_dump(mode="json")) as record:
        device = default_device()
        dtype = compute_dtype(calibration_dtype(spec.dtype), device)
        model = load_together({spec.task: checkpoint}, dtype, device, TABLE[spec.step].out_of_memory)[spec.task]
        tags = compute_tags(model)
        adapted = add_adapters(model, spec)
        trainable = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
        log.info("%s adapter parameters of rank %s", f"{trainable:,}", spec.rank)
        # Weights may be cut anew under the same settings.
        files = sorted(file for file in checkpoint.iterdir() if file.suffix in (".json", ".safetensors"))
        state = TrainingState(job.folder.training.path, f"{spec.text()} {fingerprint(files)} {tags}", every)
        train(adapted, job.input(RecoveryTextFolder), spec, state, record)
        write_merged(adapted, checkpoint, job.folder.recovered.path)
        state.discard()
        record.metrics["recover/adapter_parameters"] = trainable
        record.tags |= tags
