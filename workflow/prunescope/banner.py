"""The banner at the start of a run: what each experiment still needs."""

from collections.abc import Iterable
from pathlib import Path

from prunescope.config.registry import Planned

# The file whose presence says that a shared step is done.
PROOF = {
    "model": "model.json",
    "calibration": "samples.safetensors",
    "gradients": "saliency.safetensors",
    "removal": "block_importance.json",
    "evaluation_text": "windows.safetensors",
    "baseline": "perplexity.json",
}


def banner(experiments: Iterable[Planned]) -> str:
    """Say per experiment which shared steps are cached and which will run."""
    lines = []
    for planned in experiments:
        done, todo = [], []
        for name, step in planned.shared.items():
            (done if Path(step.file(PROOF[name])).exists() else todo).append(name.replace("_", " "))
        missing = sum(not Path(file).exists() for file in planned.files())
        lines += [f"{planned.experiment.model} / {planned.experiment.name}"]
        lines += [f"    cached   {', '.join(done)}"] if done else []
        lines += [f"    to run   {', '.join(todo)}"] if todo else []
        lines += [f"    files    {len(planned.files()) - missing} of {len(planned.files())} there"]
        lines += [f"    {note}" for note in _notes(planned)]
    return "\n".join(lines)


def _notes(planned: Planned) -> list[str]:
    calibration, removal = planned.experiment.settings.calibration, planned.experiment.settings.removal
    notes = []
    if planned.experiment.source.embedded is not None:
        used = f"{calibration.samples} x {calibration.seq_len} tokens"
        subset = f", {removal.samples} of them for the removal prior" if removal.samples else ""
        notes.append(f"samples  the demo's: {used}{subset} (config/config.yaml: models)")
    return notes
