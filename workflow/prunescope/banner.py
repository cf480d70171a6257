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
    "zeroshot_baseline": "zeroshot.json",
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
        lines += [f"    samples  {_samples(planned)}"]
    return "\n".join(lines)


def _samples(planned: Planned) -> str:
    settings, presets = planned.experiment.settings, planned.experiment.source.settings
    calibration, subset = settings.calibration, settings.removal.samples
    text = f"{calibration.samples} x {calibration.seq_len} tokens of {planned.experiment.dataset}"
    if subset is not None and "removal" in planned.shared:
        text += f", {subset} windows of them for the prior"
    chosen = {"samples": calibration.samples, "seq_len": calibration.seq_len}
    if presets.get("calibration") == chosen:
        text += " (the demo's counts; config/config.yaml: models)"
    return text
