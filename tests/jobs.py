"""Jobs of steps under test: what they are told, and folders as the steps before them leave them."""

from pathlib import Path
from typing import Any

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ModelFolder
from prunescope.steps.job import Job
from prunescope.steps.table import TABLE


def job(spec: Any, folder: Path, **inputs: Path | ModelFacts) -> Job:
    """Return the job of a step in a folder; `inputs`: the folder of each shared step that it reads, or a model's facts.

    The facts are written to ``{model's folder}-facts``, beside the checkpoint.
    """
    folders = {}
    for step, given in inputs.items():
        if isinstance(given, ModelFacts):
            facts, given = given, Path(f"{given.path}-facts")
            ModelFolder(given).facts.write(facts)
        folders[step] = given
    return Job(spec, TABLE[spec.step].folder(folder), folders)


def facts_of(tokenizer: Path, context: int = 1 << 20) -> ModelFacts:
    """Return the facts of a model of which only the tokenizer and the longest window matter."""
    counts = {"layers": 0, "total_parameters": 0, "decoder_parameters": 0, "context": context}
    names = {"name": "m", "path": str(tokenizer), "origin": "test", "model_type": "llama", "dtype": "float32"}
    return ModelFacts(**names, **counts, revision=None, blocks=())
