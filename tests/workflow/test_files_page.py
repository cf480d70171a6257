"""Every file that a real run leaves is declared, is of its class, and stands in docs/files.md with its columns."""

import re
from pathlib import Path

import pytest

from prunescope.artifacts import folders
from prunescope.artifacts.files import File
from prunescope.artifacts.formats import Json, Opaque, Table
from prunescope.artifacts.reference import SECTIONS
from prunescope.files import read_json
from prunescope.steps.table import TABLE

TEXT = (Path(__file__).parents[2] / "docs/files.md").read_text(encoding="utf-8")
KINDS = [kind for kinds in SECTIONS.values() for kind in kinds if kind is not folders.SharedFolder]
FILES = [file for kind in KINDS for file in kind.files().values()]


@pytest.fixture(scope="module")
def left(finished) -> dict[Path, File | None]:
    """The files of a finished run, without those of libraries, and how each is declared."""
    results = finished.folder / "results"
    published = (path for path in results.rglob("*") if path.is_file() and not path.name.startswith("."))
    own = [path for path in published if path.parent.name not in ("model", "recovered", "uniform")]
    own += results.rglob("pruning_map.json")
    return {path: declaration(path.relative_to(finished.folder)) for path in own}


def declaration(path: Path) -> File | None:
    """Return the declaration of a file, or of the folder of a library that holds it."""
    exact = [file for file in FILES if matches(file.pattern, str(path))]
    said = exact or [file for file in FILES if holds(file, path)]
    return min(said, key=lambda file: file.pattern.count("{"), default=None)


def holds(file: File, path: Path) -> bool:
    """Whether a file is declared as a folder of a library, and `path` is in it."""
    is_folder = isinstance(file.format, Opaque) and "." not in Path(file.path).name
    return is_folder and any(matches(file.pattern, str(place)) for place in path.parents)


def matches(pattern: str, text: str) -> bool:
    """Whether braces in `pattern` can be filled in so that it is `text`."""
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)), text) is not None


def test_every_step_is_named():
    assert not {step for step in TABLE if step not in TEXT}


def test_every_file_is_declared(left):
    assert len(left) > 50
    assert not [str(path) for path, file in left.items() if file is None]


def test_every_figure_is_named(left):
    assert not [
        path.name
        for path in left
        if path.suffix in (".png", ".svg") and f"`{path.stem}`" not in TEXT and f"/{path.name}`" not in TEXT
    ]


def test_every_json_is_of_its_class(left, tmp_path):
    found = [(path, file) for path, file in left.items() if file and isinstance(file.format, Json)]
    assert len(found) > 20
    for path, file in found:
        file.format.write(tmp_path / "again.json", file.format.read(path))
        assert (tmp_path / "again.json").read_text() == path.read_text(), path


def test_every_json_has_a_class_but_those_of_specs_and_libraries(left):
    others = {path.name for path, file in left.items() if path.suffix == ".json" and not isinstance(file.format, Json)}
    assert others <= {"key.json"}
    assert all(read_json(path) for path in left if path.name == "key.json")


def test_every_column_is_declared(left):
    found = [(path, file) for path, file in left.items() if file and isinstance(file.format, Table)]
    assert len(found) >= 4
    for path, file in found:
        names = [column.name for column in file.format.columns]
        unknown = [column for column in file.format.read(path).columns if not any(matches(n, column) for n in names)]
        assert not unknown, path
        assert not [name for name in names if f"`{name}`" not in TEXT]
