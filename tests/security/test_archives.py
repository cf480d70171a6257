"""Archives are read within limits, and what is in them goes nowhere but into memory."""

import bz2
import gzip
import hashlib
import lzma
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from prunescope.config.sections import WheelMember
from prunescope.data import archives
from prunescope.data.copies import check_copies
from prunescope.data.hansard import read_speeches
from prunescope.data.wheels import read_member
from prunescope.data.wikipedia import read_dump
from prunescope.errors import DataError

ZEROS = b"0" * 300_000
"""Packs to a thousandth."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(archives, "LARGEST", 10_000)


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def member(name: str, content: bytes) -> WheelMember:
    sums = {"sha256": "0" * 64, "member_sha256": hashlib.sha256(content).hexdigest()}
    return WheelMember(wheel="a==1", member=name, **sums)


def test_a_bomb_in_a_wheel_is_not_unpacked(tmp_path):
    bomb = wheel(tmp_path / "a.whl", {"a.txt": ZEROS})
    with pytest.raises(DataError, match=r"a\.whl is not read, a\.txt unpacks to 300,000 bytes, more than .*: delete"):
        read_member(bomb, member("a.txt", ZEROS))


def test_a_wheel_of_too_many_files_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MEMBERS", 2)
    many = wheel(tmp_path / "a.whl", dict.fromkeys("abc", b""))
    with pytest.raises(DataError, match="it holds 3 files, more than 2"):
        read_member(many, member("a", b""))


def test_names_that_lead_out_of_a_wheel_lead_nowhere(tmp_path):
    (folder := tmp_path / "in").mkdir()
    outside = wheel(folder / "a.whl", {"../../out.txt": b"x", "/tmp/out.txt": b"y"})
    assert read_member(outside, member("../../out.txt", b"x")) == b"x"
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.whl"]


def test_a_bomb_in_a_zip_of_speeches_and_in_a_dump(tmp_path):
    with pytest.raises(DataError, match=r"en\.csv unpacks to 300,000 bytes"):
        list(read_speeches(wheel(tmp_path / "a.zip", {"en.csv": ZEROS}).read_bytes()))
    with pytest.raises(DataError, match="it unpacks to more than 10,000 bytes"):
        list(read_dump(bz2.compress(b"<a>" + ZEROS)))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("content", [b'{"text": "' + ZEROS, b'["' + ZEROS, ZEROS])
def test_a_bomb_in_a_local_copy_is_not_given_to_the_library(tmp_path, suffix, pack, content):
    name = f"a.{'txt' if content == ZEROS else 'json'}{suffix}"
    (tmp_path / name).write_bytes(pack(content))
    with pytest.raises(DataError, match=rf"{name} is not read, it unpacks to more than [\d,]+ bytes: correct `files`"):
        check_copies([tmp_path / name])


def test_text_is_read_whole(tmp_path):
    rows = b"".join(b'{"text": "%d"}\n' % number for number in range(400))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows))
    check_copies([tmp_path / "a.jsonl.gz"])
