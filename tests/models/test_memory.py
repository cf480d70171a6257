"""How much memory of the host this process may have."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from prunescope.models import memory
from prunescope.models.memory import free_memory

UNLIMITED = {"1": 9223372036854771712, "2": "max"}


@pytest.fixture(params=["1", "2"])
def group(tmp_path, monkeypatch, request):
    """Return a function that makes a group: its path, limit, use and how much of that is droppable cache."""
    name = f"VERSION_{request.param}"
    _, limit, used, cache = getattr(memory, name)
    monkeypatch.setattr(memory, name, (tmp_path / "cgroup", limit, used, cache))
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    line = "7:memory:/slurm/job_1/step_0" if request.param == "1" else "0::/slurm/job_1/step_0"
    (tmp_path / "own").write_text(f"12:cpuset:/\n{line}\n")

    def make(path, allowed, current, droppable):
        allowed = UNLIMITED[request.param] if allowed is None else allowed
        folder = tmp_path / "cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit).write_text(f"{allowed}\n")
        (folder / used).write_text(f"{current}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{cache} {droppable}\n")

    return make


def free():
    return free_memory(torch.device("cpu"))


def test_the_limit_of_a_job_counts_and_not_what_the_node_has(group):
    assert free() == 1000
    group("slurm/job_1", allowed=500, current=300, droppable=100)
    assert free() == 300
    group("slurm/job_1/step_0", allowed=400, current=350, droppable=0)
    assert free() == 50


def test_a_group_without_a_limit_leaves_what_the_node_has(group):
    group("slurm", allowed=None, current=300, droppable=0)
    assert free() == 1000


def test_in_a_container_the_root_is_its_own_group(group):
    group("", allowed=200, current=150, droppable=0)
    assert free() == 50


def test_a_group_that_is_full_leaves_nothing(group):
    group("slurm", allowed=200, current=260, droppable=0)
    assert free() == 0
