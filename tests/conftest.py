"""Fixtures that every test may use; nothing here reaches a hub."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent))
# The code of pruned checkpoints, loaded with trust_remote_code, leaves no trace.
os.environ["HF_MODULES_CACHE"] = (modules := tempfile.TemporaryDirectory()).name

import pytest
import torch

pytest_plugins = ["diagnosed"]

# Tiny models are slower with more threads, and test workers share the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, driven by playwright."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()
