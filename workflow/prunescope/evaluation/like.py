"""Measure a model as an experiment was measured, by what that experiment left."""

from pathlib import Path

from prunescope.evaluation.outputs import write_evaluation
from prunescope.files import read_json
from prunescope.steps.specs import EvaluationSpec


def evaluate_like(like: Path, directory: Path) -> None:
    """Evaluate ``model/`` in `directory` on the windows of the experiment in `like`; files as `write_evaluation`.

    Raises:
        DataError: the experiment has not been evaluated.
    """
    about = read_json(like / "experiment.json")
    measured = read_json(like / "evaluation/perplexity.json")["pruned"]
    baseline = Path(about["shared"]["baseline"])
    spec = EvaluationSpec(
        model=about["model"],
        experiment=directory.name,
        baseline=baseline.name,
        dtype=about["settings"]["evaluation"]["dtype"],
        leakage={text: result["leakage"] for text, protocols in measured.items() for result in protocols.values()},
    )
    windows = Path(about["shared"]["evaluation_text"], "windows.safetensors")
    write_evaluation(spec, directory / "model", windows, baseline, directory)
