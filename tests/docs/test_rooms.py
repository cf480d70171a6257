"""Rooms import downwards only, and the picture of them is current."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import rooms


def test_a_module_imports_from_rooms_below_its_own():
    assert "\n".join(rooms.upward()) == ""


def test_every_room_is_in_the_order():
    folders = {path.name for path in rooms.PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders | {rooms.FOUNDATION} == set(rooms.ROOMS)


def test_an_import_upwards_is_found(monkeypatch, tmp_path):
    for name, code in {"config/a.py": "from prunescope.cli import x", "cli/b.py": "import prunescope.config.a"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(code)
    monkeypatch.setattr(rooms, "PACKAGE", tmp_path)
    assert rooms.upward() == ["config/a.py imports prunescope.cli"]


def test_the_picture_is_current():
    assert rooms.PICTURE.read_text(encoding="utf-8") == rooms.draw(), "run python docs/rooms.py"
