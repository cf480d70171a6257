"""Temporary files: what killed processes left goes, what others are writing stays; JSON is read strictly."""

import os
import socket
import subprocess
import sys

import pytest

from prunescope.errors import DataError
from prunescope.files import read_json, replacing, replacing_directory


@pytest.fixture
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_killed_processes_left_is_deleted(tmp_path, gone):
    here = socket.gethostname()
    living, other_file = f".a.json.{here}.{os.getppid()}.tmp.json", f".a.csv.{here}.{gone}.tmp.csv"
    other_hosts = [f".a.json.{host}.{gone}.tmp.json" for host in ("elsewhere", f"{here}.org", f"a.{here}")]
    kept = [tmp_path / name for name in (living, other_file, *other_hosts)]
    left = [tmp_path / f".a.json.{here}.{pid}.tmp.json" for pid in (gone, os.getpid())]
    for file in (*kept, *left):
        file.write_text("half")
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {*kept, tmp_path / "a.json"}


def test_a_folder_of_a_killed_process_is_deleted(tmp_path, gone):
    for pid in (gone, os.getpid()):
        (tmp_path / f".model.{socket.gethostname()}.{pid}.tmp").mkdir()
    with replacing_directory(tmp_path / "model") as temporary:
        (temporary / "config.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text('{"layers": {"0": 1, "1": 2, "0": 3}}')
    with pytest.raises(DataError, match=r"plan\.json is not JSON \('0' is there twice\)"):
        read_json(tmp_path / "plan.json")
