"""The recovery step: train the pruned checkpoint, merge, write."""

import logging
from pathlib import Path

from safetensors.torch import load_file
from torch.utils.data import TensorDataset

from prunescope.artifacts.record import recording
from prunescope.files import read_json
from prunescope.models.loading import calibration_dtype, compute_dtype, compute_tags, default_device, load_checkpoint
from prunescope.recovery import require_peft
from prunescope.recovery.state import TrainingState
from prunescope.steps.keys import fingerprint
from prunescope.steps.specs import RecoverySpec

log = logging.getLogger(__name__)


def write_recovery(spec: RecoverySpec, text: Path, directory: Path, save_every: int | None = None) -> None:
    """Train adapters for ``model/`` and write ``recovered/``, the same checkpoint with what they learned.

    While the run lasts its state is in ``.recovery/``, from where a killed one goes on.

    Args:
        text: folder of the recovery text. save_every: steps between two savings; None: about five minutes.

    Raises:
        ConfigError: peft is not installed. NonFiniteError: the loss is NaN or infinite.
        PrunescopeError: out of memory.
    """
    require_peft()
    from prunescope.recovery.adapters import add_adapters, write_merged
    from prunescope.recovery.training import train

    checkpoint = directory / "model"
    params = spec.model_dump(mode="json")
    with recording(spec.step, spec.record_key, directory / "records/recovery.json", params) as record:
        device = default_device()
        model = load_checkpoint(checkpoint, compute_dtype(calibration_dtype(spec.dtype), device), device)
        tags = compute_tags(model)
        adapted = add_adapters(model, spec)
        trainable = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
        log.info("%s adapter parameters of rank %s", f"{trainable:,}", spec.rank)
        state = TrainingState(directory / ".recovery", f"{spec.text()} {_content(checkpoint)} {tags}", save_every)
        samples = load_file(text / "samples.safetensors")
        rows = TensorDataset(samples["input_ids"], samples["labels"])
        tokens_per_row = read_json(text / "manifest.json")["tokens"] / len(rows)
        training = train(adapted, rows, tokens_per_row, spec, state)
        write_merged(adapted, checkpoint, directory / "recovered")
        state.discard()
        record.metrics |= {
            "recover/final_loss": training.points[-1].loss,
            "recover/tokens": training.tokens,
            "recover/tokens_per_second": round(training.tokens_per_second, 1),
            "recover/steps": training.steps,
            "recover/resumed_from_step": training.resumed,
            "recover/adapter_parameters": trainable,
        }
        for name in ("loss", "learning_rate"):
            record.histories[f"recover/{name}"] = [(point.step, getattr(point, name)) for point in training.points]
        record.tags |= tags


def _content(checkpoint: Path) -> str:
    """Return what stands for the weights that are trained: they may be cut anew under the same settings."""
    return fingerprint(sorted(file for file in checkpoint.iterdir() if file.suffix in (".json", ".safetensors")))
