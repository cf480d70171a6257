"""Two jobs at one task: the second waits, says for whom, and takes what the first has left."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import SoftFileLease

from prunescope.artifacts.folders import RemovalFolder
from prunescope.steps import lease
from prunescope.steps.importance import RemovalSpec
from prunescope.steps.job import run
from prunescope.steps.lease import EXPIRES, held_by, lease_file, leased
from prunescope.steps.step import Task
from prunescope.steps.table import TABLE

SPEC = RemovalSpec(inputs={"model": "source-1", "calibration": "c_n1_s8-1"}, prior="similarity")
OTHER = """
import sys, time
from filelock import SoftFileLease
lease = SoftFileLease(sys.argv[1], lease_duration=float(sys.argv[2]))
lease.acquire()
print("held", flush=True)
time.sleep(60)
"""


def first(task):
    return Path(task.outputs[0])


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "POLL", 0.02)
    task = Task(TABLE["removal"], SPEC, str(tmp_path / "results/m/_shared/removal" / SPEC.key))
    lease_file(first(task)).parent.mkdir(parents=True)
    return task


@pytest.fixture
def other(task):
    """A process that holds the task."""
    command = [sys.executable, "-S", "-c", OTHER, str(lease_file(first(task))), str(EXPIRES)]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}) as process:
        assert process.stdout.readline()
        yield process
        process.kill()


def write(task, key=SPEC.key):
    """Leave what the step leaves."""
    folder = RemovalFolder(lease_file(first(task)).parent)
    for file in (folder.losses, folder.similarity):
        file.path.write_text("{}")
    folder.record.path.write_text(f'{{"step": "removal", "key": "{key}"}}')


def test_whoever_is_alone_works_at_once_and_leaves_nothing_behind(task):
    with leased(task, first(task)) as work:
        assert work and lease_file(first(task)).exists()
        assert held_by(lease_file(first(task))) == f"process {os.getpid()} on {socket.gethostname()}"
    assert not lease_file(first(task)).exists()


def test_parts_of_a_task_do_not_wait_for_each_other(task):
    one, two = (first(task).with_name(f"part.{number}of2.safetensors") for number in (1, 2))
    with leased(task, one) as work, leased(task, two) as other:
        assert work and other


def test_what_a_killed_process_left_is_taken_over_at_once(task, other, caplog):
    other.kill()
    other.wait()
    began = time.monotonic()
    with leased(task, first(task)) as work:
        assert work and time.monotonic() - began < 2


@pytest.mark.parametrize(("leaves", "work"), [(None, True), ("another-1", True), (SPEC.key, False)])
def test_the_second_waits_and_takes_what_the_first_has_left(task, other, caplog, monkeypatch, leaves, work):
    def end(*_, **__):  # at the first look
        if leaves:
            write(task, leaves)
        other.kill()
        other.wait()
        return time.sleep(0.01)

    write(task)
    os.utime(task.record.path, (1, 1))
    monkeypatch.setattr(lease, "held_by", lambda file: (held_by(file), end())[0])
    with leased(task, first(task)) as found:
        assert found is work
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"process {other.pid} on {socket.gethostname()} is at the step removal already; waiting for its end" in said


def test_a_lease_of_another_host_is_taken_over_when_its_heart_stands_still(task, monkeypatch):
    """Its process number is that of a living process here, and its clock an hour ahead."""
    monkeypatch.setattr(lease, "EXPIRES", 0.5)
    theirs = SoftFileLease(file := str(lease_file(first(task))), lease_duration=0.5)
    theirs.acquire()
    content = lease_file(first(task)).read_text().replace(f"host={socket.gethostname()}", "host=elsewhere")
    theirs.release()
    lease_file(first(task)).write_text(content)
    os.utime(file, (time.time() + 3600,) * 2)
    began = time.monotonic()
    with leased(task, first(task)) as work:
        assert work and 0.5 <= time.monotonic() - began < 10


def test_a_process_whose_place_was_taken_ends(task, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRES", 0.3)
    ended = []
    monkeypatch.setattr(os, "kill", lambda *told: ended.append(told))
    with leased(task, first(task)):
        lease_file(first(task)).unlink()
        for _ in range(200):
            time.sleep(0.02)
            if ended:
                break
    assert ended == [(os.getpid(), signal.SIGTERM)]


def test_every_step_is_run_under_it(task, monkeypatch):
    seen = []
    monkeypatch.setitem(TABLE, "removal", replace(TABLE["removal"], run="steps.job:note"))
    monkeypatch.setattr(
        "prunescope.steps.job.note", lambda _: seen.append(lease_file(first(task)).exists()), raising=False
    )
    run("removal", lease_file(first(task)).parent, SPEC.text())
    assert seen == [True]
