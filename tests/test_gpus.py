"""Jobs on one host take GPUs of their own. The GPUs are names: nothing here needs one."""

import os
import subprocess
import sys

import pytest

from prunescope.environment import ONE_GPU
from prunescope.gpus import VISIBLE, one_gpu

JOB = """
from prunescope.gpus import VISIBLE, one_gpu
import os, sys
with one_gpu() as gpu:
    print(gpu, os.environ[VISIBLE], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with three GPUs, and what starts a job on it."""
    for name, value in {VISIBLE: "0, 1,GPU-8f/2", ONE_GPU: "1", "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    jobs = []

    def start() -> subprocess.Popen:
        jobs.append(
            subprocess.Popen([sys.executable, "-c", JOB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def test_each_job_sees_a_gpu_of_its_own_and_a_killed_one_gives_it_back(host):
    jobs = [host() for _ in range(3)]
    seen = [job.stdout.readline().split() for job in jobs]
    assert sorted(seen) == [["0", "0"], ["1", "1"], ["GPU-8f/2", "GPU-8f/2"]]
    fourth = host()
    with pytest.raises(subprocess.TimeoutExpired):
        fourth.wait(timeout=1.5)
    jobs[1].kill()
    assert fourth.stdout.readline().split() == seen[1]


@pytest.mark.parametrize(("gpus", "asked"), [("0,1", "0"), ("3", "1"), ("", "1"), ("-1", "1")])
def test_a_job_that_shares_no_gpus_sees_what_it_saw(monkeypatch, gpus, asked):
    monkeypatch.setenv(VISIBLE, gpus)
    monkeypatch.setenv(ONE_GPU, asked)
    with one_gpu() as gpu:
        assert gpu is None and os.environ[VISIBLE] == gpus


def test_what_a_job_saw_is_there_again_afterwards(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(VISIBLE, "4,7")
    monkeypatch.setenv(ONE_GPU, "1")
    with one_gpu() as gpu:
        assert os.environ[VISIBLE] == gpu == "4"
    assert os.environ[VISIBLE] == "4,7"
