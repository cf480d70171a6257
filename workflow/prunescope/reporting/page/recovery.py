"""What a page and a model card say about the training after pruning."""

from pathlib import Path

from prunescope.artifacts.record import StepRecord
from prunescope.files import read_json
from prunescope.steps.reporting import PageSpec


def trained_on(spec: PageSpec, directory: Path) -> str:
    """Return a paragraph: how the pruned model was trained, on what, and for how long."""
    told = spec.settings.recovery
    manifest = read_json(Path(spec.shared["recovery_text"]) / "manifest.json")
    measured = StepRecord.read(directory / "records/recovery.json").metrics
    resumed = int(measured["recover/resumed_from_step"])
    kind = "" if manifest["learned_tokens"] == manifest["tokens"] else ", responses alone"
    return (
        f"Trained after pruning by LoRA (rank {told.rank}, alpha {told.alpha:g}, dropout {told.dropout:g}; AdamW, "
        f"learning rate {told.learning_rate:g}, {told.schedule}) on the calibration split of "
        f"{told.dataset or spec.dataset}{kind}: {measured['recover/tokens']:,.0f} tokens in "
        f"{measured['recover/steps']:,.0f} steps, {manifest['tokens']:,} different ones, seed {told.seed}"
        + (f"; interrupted, and resumed from step {resumed:,}" if resumed else "")
        + ". What it learned is merged into the weights, whose shapes are those that pruning left."
    )
