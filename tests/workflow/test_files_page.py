"""docs/files.md names every file that a run leaves, every key and every column."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from prunescope.files import read_json
from prunescope.steps.planned import COMPARISON_FILES
from prunescope.steps.specs import Spec

PAGE = Path(__file__).parents[2] / "docs/files.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.findall(r"`([^`]+)`", TEXT)
WORDS = {word for code in CODE for word in re.findall(r"\w+", code)}

# Keys below these are other people's names: settings, numbers that depend on the rule, parameters, libraries.
FREE = {
    "params",
    "limits",
    "evidence",
    "patch",
    "thresholds",
    "versions",
    "metrics",
    "curves",
    "tags",
    "shared",
    "seeds",
    "settings",
}
NAMES = re.compile(r"\d+|words|w\d+(s\d+)?|.*[./].*")
"""Layers, the test's text, its protocols, names of parameters."""


@pytest.fixture(scope="module")
def results(finished) -> Path:
    return finished.folder / "results/tiny"


def keys(content) -> Iterator[str]:
    """Yield the keys of a JSON value that the program chose."""
    if isinstance(content, list):
        for item in content:
            yield from keys(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            if not NAMES.fullmatch(key):
                yield key
            yield from [] if key in FREE else keys(value)


def files(results: Path, suffix: str) -> list[Path]:
    """Return the files of a kind, without those of the checkpoint and the specs."""
    found = results.rglob(f"*{suffix}")
    return [path for path in found if path.name != "key.json" and (path.parent.name != "model" or suffix != ".json")]


def steps(kind: type[Spec] = Spec) -> set[str]:
    """Return the names of all steps, those too that `finished` does not run."""
    own = {kind.step} if hasattr(kind, "step") else set()
    return own.union(*map(steps, kind.__subclasses__()))


def test_every_step_is_named():
    assert not {step for step in steps() if step not in TEXT}


def test_every_file_is_named(results):
    published = [path for path in results.rglob("*") if path.is_file() and not path.name.startswith(".")]
    names = {path.name for path in published if path.parent.name not in ("model", "records")} | set(COMPARISON_FILES)
    stems = {name.rpartition(".")[0] for name in names if name.endswith((".png", ".svg"))}
    said = {code.rsplit("/", 1)[-1] for code in CODE}
    assert not {name for name in names if not name.endswith((".png", ".svg"))} - said
    assert not stems - WORDS


def test_every_key_is_named(results):
    found = {key: path for path in files(results, ".json") for key in keys(read_json(path))}
    assert len(found) > 100
    assert not {key: str(path.relative_to(results)) for key, path in found.items() if key not in WORDS}


def test_every_column_is_named(results):
    frames = {path: pd.read_parquet(path) for path in files(results, ".parquet")}
    frames |= {path: pd.read_csv(path) for path in files(results, ".csv")}
    columns = {column: path for path, frame in frames.items() for column in frame.columns}
    assert len(columns) > 20
    assert not {column: str(path) for column, path in columns.items() if column not in WORDS}
