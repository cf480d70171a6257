"""Models over several devices, as far as a machine without any can tell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of torch takes no device that is made up in Python",
)
def test_no_step_mixes_the_devices_of_a_model_over_two(programs):
    script = Path(__file__).with_name("two_devices.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([programs / "python", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == 2 * ["perplexity", "removal", "similarity", "first_order"], done.stderr
