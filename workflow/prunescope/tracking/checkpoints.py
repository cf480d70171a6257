"""The checkpoints of an experiment, as tracking names them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunescope.files import read_json
from prunescope.steps.planned import final_folder

FACTS = ("origin", "revision", "model_type", "dtype", "total_parameters")


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk.

    Attributes:
        key: identity. name: in the list of models. path: relative to the project.
        facts: what else is shown, set once.
    """

    key: str
    name: str
    path: str
    facts: dict[str, str] = field(default_factory=dict)


def parent_checkpoint(step: Path, project: Path) -> Checkpoint | None:
    """Return the model that ``results/{model}/_shared/model/{key}`` obtained; None without its ``model.json``."""
    if not (step / "model.json").is_file():
        return None
    facts = read_json(step / "model.json")
    return Checkpoint(
        key=f"{facts['name']}/_shared/model/{step.name}",
        name=facts["name"],
        path=_relative(Path(facts["path"]), project),
        facts={name: str(facts[name]) for name in FACTS if facts.get(name) is not None},
    )


def pruned_checkpoint(directory: Path, project: Path, about: dict[str, Any]) -> Checkpoint | None:
    """Return the final checkpoint of ``results/{model}/{experiment}``; `about`: the experiment's identity."""
    folder = directory.absolute() / final_folder(about.get("steps", ()))
    if not folder.is_dir():
        return None
    return Checkpoint(about["key"], about["experiment"], _relative(folder, project), {"parent": about["model"]})


def _relative(path: Path, project: Path) -> str:
    return (path.relative_to(project) if path.is_relative_to(project) else path).as_posix()
