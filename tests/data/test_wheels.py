"""Wheels are downloaded, verified and read; a failure says what to do and leaves nothing behind."""

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest

from jobs import job
from prunescope.config.sections import WheelMember
from prunescope.data.wheels import download, read_member
from prunescope.errors import DataError
from prunescope.steps.sources import WheelSpec

TEXT = b"a file inside a wheel"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def no_index(tmp_path, monkeypatch):
    """A new project, and pip cut off from every index that this machine is configured for."""
    monkeypatch.chdir(tmp_path)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder with one wheel, which pip uses as its only index."""
    wheel = tmp_path / "index" / "tiny_text-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with ZipFile(wheel, "w") as files:
        files.writestr("tiny_text/text.txt", TEXT)
        files.writestr("tiny_text-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        metadata = "Metadata-Version: 2.1\nName: tiny-text\nVersion: 1.0\n"
        files.writestr("tiny_text-1.0.dist-info/METADATA", metadata)
        files.writestr("tiny_text-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel


def member(**changes) -> WheelMember:
    settings = {
        "wheel": "tiny-text==1.0",
        "sha256": "0" * 64,
        "member": "tiny_text/text.txt",
        "member_sha256": sha256(TEXT),
    }
    return WheelMember(**settings | changes)


def fetch(sha256: str, requirement: str = "tiny-text==1.0") -> None:
    download(job(WheelSpec.holding(member(wheel=requirement, sha256=sha256)), Path("resources")))


def test_downloads_once_and_reads(index, monkeypatch):
    destination = Path("resources/wheels/tiny-text-1.0.whl")
    fetch(sha256(index.read_bytes()))
    assert read_member(destination, member()) == TEXT
    assert list(destination.parent.iterdir()) == [destination]

    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("downloaded again"))
    fetch(sha256(index.read_bytes()))


def test_a_damaged_wheel_is_downloaded_again(index):
    destination = Path("resources/wheels/tiny-text-1.0.whl")
    destination.parent.mkdir(parents=True)
    destination.write_bytes(b"half a wheel")
    fetch(sha256(index.read_bytes()))
    assert destination.read_bytes() == index.read_bytes()


def test_unreachable_index_says_what_to_copy_where():
    destination = Path("resources/wheels/gensim-4.4.0.whl")
    with pytest.raises(DataError) as caught:
        fetch("ab" * 32, "gensim==4.4.0")
    message = str(caught.value)
    assert "PyPI could not be reached" in message
    for part in (
        "pip download gensim==4.4.0",
        "--platform manylinux_2_28_x86_64",
        "ab" * 32,
        str(destination),
    ):
        assert part in message
    assert list(destination.parent.iterdir()) == []


def test_checksum_mismatch_names_both_and_leaves_nothing(index):
    destination = Path("resources/wheels/tiny-text-1.0.whl")
    with pytest.raises(DataError) as caught:
        fetch("ab" * 32)
    assert "ab" * 32 in str(caught.value)
    assert sha256(index.read_bytes()) in str(caught.value)
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"member": "tiny_text/other.txt"}, "has no file tiny_text/other.txt"),
        ({"member_sha256": "cd" * 32}, f"has SHA-256 {sha256(TEXT)}, expected {'cd' * 32}"),
    ],
)
def test_members_are_verified(index, changes, message):
    with pytest.raises(DataError, match=message):
        read_member(index, member(**changes))


def test_a_file_that_is_no_wheel(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable wheel"):
        read_member(tmp_path / "x.whl", member())
