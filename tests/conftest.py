"""Fixtures that every test may use; nothing here reaches a hub."""

import gc
import importlib.util
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Tiny models are slower with more threads, and test workers and their children share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))
# The code of pruned checkpoints, loaded with trust_remote_code, leaves no trace.
os.environ["HF_MODULES_CACHE"] = (modules := tempfile.TemporaryDirectory()).name
# PRUNESCOPE_TEST_NATIVE_BFLOAT16=0 or 1 decides for this process and its children what the processor can do.
if "PRUNESCOPE_TEST_NATIVE_BFLOAT16" in os.environ:
    folder = str(Path(__file__).parent / "processor")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    runpy.run_path(f"{folder}/sitecustomize.py")

import pytest

from warm import place, warm

if importlib.util.find_spec("hypothesis"):  # not where checkpoints are tried without this package
    from hypothesis import settings

    # How many inputs a fuzz test tries: `--hypothesis-profile many` for a thorough run.
    settings.register_profile("suite", max_examples=50, deadline=None, derandomize=True)
    settings.register_profile("many", max_examples=2000, deadline=None)
    settings.load_profile("suite")


# The folder of the programs that are warm, for this process and the workers that it starts.
PLACE = "PRUNESCOPE_TEST_PROGRAMS"


def pytest_configure(config):
    if PLACE not in os.environ:
        context = place()
        os.environ[PLACE] = str(context.__enter__())
        config.add_cleanup(lambda: context.__exit__(None, None, None))


LONG = ("docs/test_tutorial.py", "test_full_width.py", "workflow", "browser", "inputs", "diagnosis/test_trials.py")
"""Files and folders whose tests take long."""


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """While tests are collected, which imports all, there is no garbage to look for; nor is any in it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """What takes long begins first, so that all workers end at the same time."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: min(ranks.get(path, len(LONG)) for path in (item.path, item.path.parent)))


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of `prunescope`, `snakemake` and `python`, each a fork of a process that has imported everything."""
    return warm(Path(os.environ[PLACE]))


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
