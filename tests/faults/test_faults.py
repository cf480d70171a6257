"""Every step of the table through every fault: the same command finishes, with equal numbers, and nothing is doubled.

What a step says at a fault is one sentence that is right. The suite tries each fault at one step; `make faults` tries
all of both and prints the table.
"""

import contextlib
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.conftest import RESULTS
from faults.every_step import TRACKING, Ended, EveryStep
from prunescope.steps.table import TABLE

UNRIGHT = ("nobody expected", "Traceback", "please report")
Prepared = contextlib.AbstractContextManager[dict[str, str]]


@dataclass(frozen=True)
class Fault:
    """A fault, and how a step may end at it.

    Attributes:
        ends: exit codes that are right, each with what must be said then.
        child: the fault in the step's process, see `child.FAULTS`; at: of its writes, the one where it happens.
        around: prepares the project, and puts it in order again; yields variables of the environment.
        of: whether a step can have it.
    """

    ends: dict[int, str]
    child: str = ""
    at: Callable[[int], int] = lambda writes: 0
    around: Callable[[EveryStep, str], Prepared] | None = None
    of: Callable[[str], bool] = lambda step: True


def first(writes: int) -> int:
    return 1


def middle(writes: int) -> int:
    return (writes + 1) // 2


def last(writes: int) -> int:
    return writes


def damaged(cut: Callable[[bytes], bytes]) -> Callable[[EveryStep, str], Prepared]:
    """Return a fault: every file that the step reads is cut."""

    @contextlib.contextmanager
    def around(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
        paths = [project.folder / name for name in project.inputs[step]]
        files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        before = {file: (file.read_bytes(), file.stat()) for file in files}
        for file, (content, _) in before.items():
            file.write_bytes(cut(content))
        yield {}
        for file, (content, state) in before.items():
            file.write_bytes(content)
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

    return around


@contextlib.contextmanager
def own_record_damaged(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    for name in project.tasks[step].outputs:
        if (file := project.folder / name).suffix == ".json":
            file.write_text('{"step": "')
    yield {}


@contextlib.contextmanager
def read_only(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    folders = [project.folder, *(path for path in project.folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    before = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in folders}
    for folder in folders:
        folder.chmod(0o555)
    project.folder.chmod(0o777)  # where the pipe is
    try:
        yield {}
    finally:
        for folder, mode in before.items():
            folder.chmod(mode)


@contextlib.contextmanager
def linked(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    for name in ("results", "resources"):
        (project.folder / name).rename(project.folder / f"far_{name}")
        (project.folder / name).symlink_to(f"far_{name}")
    yield {}
    assert all((project.folder / name).is_symlink() for name in ("results", "resources"))


@contextlib.contextmanager
def written_elsewhere(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    """Half a file of a writer on another host beside each output, with the number of no process here."""
    outputs = [project.folder / name for name in project.tasks[step].outputs]
    halves = [path.with_name(f".{path.name}.elsewhere.{2**22 + 1}.tmp{path.suffix}") for path in outputs]
    for half in halves:
        half.write_text("half")
    yield {}
    assert all(half.read_text() == "half" for half in halves)
    for half in halves:
        half.unlink()


@contextlib.contextmanager
def server_down(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    yield {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9"}


@contextlib.contextmanager
def server_slow(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }


@contextlib.contextmanager
def store_locked(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    with contextlib.closing(sqlite3.connect(project.folder / "mlflow.db", isolation_level=None)) as store:
        store.execute("BEGIN EXCLUSIVE")
        yield {}


@contextlib.contextmanager
def disk_full(project: EveryStep, step: str) -> Iterator[dict[str, str]]:
    """Put the results on a small file system of their own, with two pages left."""
    results = project.folder / "results"
    results.rename(project.folder / "whole")
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", results], check=True)
    try:
        shutil.copytree(project.folder / "whole", results, symlinks=True, dirs_exist_ok=True)
        filler = results / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"0" * 4096)
        os.truncate(filler, filler.stat().st_size - 2 * 4096)
        yield {}
        filler.unlink()
        shutil.rmtree(project.folder / "whole")
        shutil.copytree(results, project.folder / "whole", symlinks=True)
    finally:
        subprocess.run(["umount", results], check=True)
    results.rmdir()
    (project.folder / "whole").rename(results)


def tracks(step: str) -> bool:
    return step in TRACKING


def computes(step: str) -> bool:
    return step not in TRACKING


def can_mount(step: str) -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None and step not in ("wheel", "corpus")


# A damaged file is named, with the step that makes it or what else to do.
DAMAGED = r"prunescope: .*(again|delete|download|correct|fetch|run the step|run its step|repair)"
NO_SPACE = "no space left on device: free some space"
TOLERATED = {0: ""}
FAULTS = {
    "killed at the first write": Fault({-9: ""}, "killed", first),
    "killed in the middle": Fault({-9: ""}, "killed", middle),
    "killed at the last write": Fault({-9: ""}, "killed", last),
    "terminated": Fault({143: ""}, "terminated", middle),
    "no space at a write": Fault({1: NO_SPACE}, "no space", middle, of=computes),
    "disk full": Fault({1: NO_SPACE, 0: ""}, around=disk_full, of=can_mount),
    "no file above 300 bytes": Fault({1: "(?i)file too large", 0: ""}, "quota", of=computes),
    "results read-only": Fault({1: "permission denied: give this account the right"}, "nobody", around=read_only),
    "inputs truncated": Fault({1: DAMAGED, 0: ""}, around=damaged(lambda content: content[: len(content) // 2])),
    "inputs empty": Fault({1: DAMAGED, 0: ""}, around=damaged(lambda content: b"")),
    "own records damaged": Fault(TOLERATED, around=own_record_damaged),
    "clock set back": Fault(TOLERATED, "clock"),
    # The library that reads the data of tasks has no way without them.
    "no file locks": Fault(TOLERATED | {1: "zeroshot.*No locks.*: set HF_HOME to a folder"}, "no locks"),
    "memory limited": Fault({1: "out of memory: ", 0: ""}, "memory"),
    "results a link": Fault(TOLERATED, around=linked),
    "temporary files of another host": Fault(TOLERATED, around=written_elsewhere),
    "tracking server down": Fault({0: "cannot be reached; the results are safe"}, around=server_down, of=tracks),
    "tracking server silent": Fault({0: "cannot be reached; the results are safe"}, around=server_slow, of=tracks),
    "store locked": Fault({0: r"cannot be used \(.*locked.*\); the results are safe"}, around=store_locked, of=tracks),
    "store full": Fault({0: r"cannot be used \(.*(full|I/O|large|disk).*\); the results are safe"}, "quota", of=tracks),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "project"


def check(base: EveryStep, step: str, fault: Fault, folder: Path) -> None:
    """Run a step with a fault, look at what it says, and run the same command again."""
    project = base.copy(folder)
    project.forget(step)
    around = fault.around(project, step) if fault.around else contextlib.nullcontext({})
    with around as variables:
        ended = project.run(step, fault.child, fault.at(base.watched[step]["writes"]), **variables)
        assert_right(ended, fault)
    again = project.run(step)
    assert again.code == 0, again.said
    assert agree(project.numbers(step), base.numbers(step)), "other numbers"
    left = [path for path in project.folder.rglob(".*") if re.search(r"\.tmp|\.lease$", path.name)]
    assert left == [], "temporary files stay"
    if tracks(step):
        assert project.rows() == clean_rows(base, step, folder)


def agree(one: object, other: object) -> bool:
    """Whether two results are equal; what was measured together decides the last bits of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-7)
    return one == other


def assert_right(ended: Ended, fault: Fault) -> None:
    assert ended.code in fault.ends, f"ended with {ended.code}: {ended.said}"
    assert re.search(fault.ends[ended.code], ended.said), ended.said
    assert not any(word in ended.said for word in UNRIGHT), ended.said
    assert "secret" not in ended.said


def clean_rows(base: EveryStep, step: str, folder: Path) -> dict[str, int]:
    """Return how many rows the step makes without a fault."""
    if step not in base.counts:
        project = base.copy(folder.with_name("clean"))
        project.forget(step)
        assert project.run(step).code == 0
        base.counts[step] = project.rows()
    return base.counts[step]


def try_out(base: EveryStep, step: str, name: str, folder: Path) -> None:
    if step not in base.tasks:
        pytest.skip(f"{step} needs {TABLE[step].package.module}, which is not installed")
    began = time.monotonic()
    RESULTS[step, name] = "FAILED"
    check(base, step, FAULTS[name], folder)
    RESULTS[step, name] = f"{time.monotonic() - began:.1f}"


def in_turn() -> list[tuple[str, str]]:
    """Return each fault with a step that can have it, steps from all over the table."""
    steps = [step for start in range(3) for step in list(TABLE)[start::3]]
    pairs = []
    for name, fault in FAULTS.items():
        step = next(step for step in steps if fault.of(step))
        steps.remove(step)
        steps.append(step)  # again after all others
        pairs.append((step, name))
    return pairs


ALL = [(step, name) for step in TABLE for name, fault in FAULTS.items() if fault.of(step)]


@pytest.mark.parametrize(("step", "name"), in_turn())
def test_a_step_survives_each_fault(base, step, name, folder):
    try_out(base, step, name, folder)


@pytest.mark.faults
@pytest.mark.parametrize(("step", "name"), ALL)
def test_every_step_survives_every_fault(base, step, name, folder):
    try_out(base, step, name, folder)


def test_no_step_reached_another_machine_or_opened_a_pickle(base):
    """Not even those that may: nothing that this project names is elsewhere."""
    found = {
        step: [place for place in seen["places"] if "127.0.0.1" not in place] for step, seen in base.watched.items()
    }
    assert {step: places for step, places in found.items() if places} == {}


def test_secrets_are_in_no_file_and_on_no_line(base, folder):
    """Tokens, and the password of a store that is asked, are neither in what steps leave nor in what they say."""
    project = base.copy(folder)
    secrets = {"HF_TOKEN": "hf_s3cr3t", "MLFLOW_TRACKING_URI": "http://me:s3cr3t@127.0.0.1:9/x?token=s3cr3t"}
    for step in ("model", "calibration", "gradients", "importance", "page", "track"):
        ended = project.run(step, **secrets)
        assert ended.code == 0 and "s3cr3t" not in ended.said, ended.said
    files = [path for path in project.folder.rglob("*") if path.is_file() and path.name != "said"]
    assert [str(path) for path in files if b"s3cr3t" in path.read_bytes()] == []
    assert json.loads((project.folder / project.tasks["track"].outputs[0]).read_text())["pending"] is True
