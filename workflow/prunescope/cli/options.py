"""Options that several commands have, and how their values are read."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from prunescope.config.messages import sentence
from prunescope.errors import ConfigError
from prunescope.files import read_json, write_json
from prunescope.steps.planned import final_folder

SPEC_HELP = "What to do: one line of JSON, or the name of a file that holds it."

Spec = Annotated[str, typer.Option(help=SPEC_HELP)]
Key = Annotated[str, typer.Option(help="Key of the step: the name of its directory.")]
Model = Annotated[Path, typer.Option(help="model.json of the model step.")]
Samples = Annotated[Path, typer.Option(help="samples.safetensors of the calibration step.")]
Windows = Annotated[Path, typer.Option(help="windows.safetensors of the evaluation text step.")]
Saliency = Annotated[Path, typer.Option(help="saliency.safetensors of the gradient step.")]
Removal = Annotated[Path | None, typer.Option(help="block_importance.json of the removal step, for T > 0.")]
Baseline = Annotated[Path, typer.Option(help="Directory of the baseline step.")]
Corpora = Annotated[list[Path], typer.Option("--corpus", help="{text}-{hash}.jsonl of an embedded text.")]
Output = Annotated[Path, typer.Option(help="Directory to write to.")]
CheckpointFolder = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", help="Folder of the checkpoint in DIR; default: recovered where it was trained, else model."
    ),
]
Directory = Annotated[Path, typer.Argument(help="results/{model}/{experiment}")]
ComparedText = Annotated[Path | None, typer.Option("--text", help="Text to compare on; default: one that is built in.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="Configuration file.")]


def spec_text(value: str) -> str:
    return value if value.lstrip().startswith("{") else Path(value).read_text(encoding="utf-8")


def read_spec(kind: type, value: str):
    try:
        return kind.model_validate_json(spec_text(value))
    except FileNotFoundError:
        raise ConfigError(f"--spec: no file {value}") from None
    except ValidationError as error:
        raise ConfigError(sentence(error, kind, "--spec")) from None


@contextmanager
def shared_step(kind: type, value: str, output: Path) -> Iterator:
    """Yield the spec; when the step succeeds keep it as key.json, from where it can be run again."""
    spec = read_spec(kind, value)
    yield spec
    write_json(output / "key.json", json.loads(spec.text()))


def read_facts(path: Path):
    from prunescope.artifacts.facts import ModelFacts

    return ModelFacts.read(path)


def final_checkpoint(directory: Path) -> str:
    """Return the folder of an experiment's final checkpoint; while its page is not written, that of the pruned one."""
    identity = directory / "experiment.json"
    return final_folder(read_json(identity).get("steps", ()) if identity.is_file() else ())


def by_text(corpora: list[Path]) -> dict[str, Path]:
    return {path.stem.rsplit("-", 1)[0]: path for path in corpora}


def quiet_transformers() -> None:
    from transformers.utils import logging as transformers_logging

    warnings.simplefilter("ignore", FutureWarning)  # of names that transformers and peft will change
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
