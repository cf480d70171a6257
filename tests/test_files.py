"""Temporary files: what killed processes left goes, what others are writing stays."""

import os
import subprocess
import sys

import pytest

from prunescope.files import replacing, replacing_directory


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_killed_processes_left_is_deleted(tmp_path, gone):
    kept = [tmp_path / f".a.json.{os.getppid()}.tmp.json", tmp_path / f".a.csv.{gone}.tmp.csv"]
    left = [tmp_path / f".a.json.{pid}.tmp.json" for pid in (gone, os.getpid())]
    for file in (*kept, *left):
        file.write_text("half")
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {*kept, tmp_path / "a.json"}


def test_a_folder_of_a_killed_process_is_deleted(tmp_path, gone):
    (tmp_path / f".model.{gone}.tmp").mkdir()
    (tmp_path / f".model.{os.getpid()}.tmp").mkdir()
    with replacing_directory(tmp_path / "model") as temporary:
        (temporary / "config.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
