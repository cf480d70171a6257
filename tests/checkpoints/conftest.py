"""Checkpoints to try in whatever transformers is installed; these tests never import prunescope themselves.

`make test-compat` writes the checkpoints with the main environment and runs the tests in an older one, which
finds them by PRUNESCOPE_CHECKPOINTS. Without it they are written first.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from checkpoints.cases import CASES, Case


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    if "PRUNESCOPE_CHECKPOINTS" in os.environ:
        assert importlib.util.find_spec("prunescope") is None, "this environment must not know the package"
        return Path(os.environ["PRUNESCOPE_CHECKPOINTS"])
    from checkpoints.make import write_cases

    folder = tmp_path_factory.mktemp("checkpoints")
    write_cases(folder)
    return folder


@pytest.fixture(params=CASES)
def case(request, checkpoints):
    return Case(checkpoints / request.param)


@pytest.fixture
def tokens():
    return torch.randint(3, 61, (3, 12), generator=torch.Generator().manual_seed(1))
