"""The commands of the tutorial, run from the text of the page, in order, in a copy of the project.

The text is as a reader has it; the sample counts of the embedded model are not: the copy's configuration lowers them.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"
COPIED = (
    "Makefile",
    "Snakefile",
    "config",
    "profiles",
    "pyproject.toml",
    "requirements.lock",
    "tests/checkpoints/requirements.txt",
    "workflow/report",
    "workflow/rules",
)
FEW = {
    "calibration": {"samples": 4, "seq_len": 64},
    "gradients": {"criteria": ["taylor", "gate"], "batch_size": 2},
    "removal": {"samples": 1},
    "trial": {"samples": 1},
    "evaluation": {"datasets": ["wiki"], "protocols": ["w128"], "max_tokens": 1024},
}
UI, PROGRAMS = "make ui", "programs"
PATIENCE = 180
"""Seconds until a server must answer."""


def blocks() -> list[tuple[str, str]]:
    """Return the fenced blocks that a reader types: language and text."""
    return re.findall(r"^```(bash|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path, programs) -> Path:
    """What a reader has after cloning and installing: the environment and the downloads are those of the checkout."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (ROOT / "resources").mkdir(exist_ok=True)
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "installed").touch()
    file = tmp_path / "config/config.yaml"
    config = yaml.safe_load(file.read_text())
    config["models"]["SmolLM2-135M"]["settings"] = FEW
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    (tmp_path / PROGRAMS).symlink_to(programs)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    # Installing is `make`'s business and not tried here: the mark that it is done lies in the copy.
    # What `source .venv/bin/activate` does for the commands.
    path = os.pathsep.join([str(folder / PROGRAMS), f"{sys.prefix}/bin", os.environ["PATH"]])
    return os.environ | {"MAKEFLAGS": f"-- STAMP=installed BIN={PROGRAMS}", "PATH": path}


def run(folder: Path, language: str, text: str) -> str:
    python = [f"{PROGRAMS}/python", "-I"]  # which knows no package of ours
    command = [*(python if language == "python" else ("bash", "-euo", "pipefail")), "-c", text]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(folder))
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def look_at_ui(folder: Path) -> str:
    """Start the pages as the tutorial says, fetch the one it links to, and stop them as Ctrl-C does."""
    with subprocess.Popen(
        UI.split(), cwd=folder, stdout=subprocess.PIPE, text=True, env=environment(folder), start_new_session=True
    ) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("MLflow: "))
            return _fetch(line.split()[1])
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _fetch(link: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(link.partition("#")[0], timeout=10) as page:
                return link if page.status == 200 else ""
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def test_every_command_of_the_tutorial_works(project):
    printed = {
        text.strip(): look_at_ui(project) if text.strip() == UI else run(project, language, text)
        for language, text in blocks()
    }
    results = project / "results/SmolLM2-135M"
    finished = {path.parent.name for path in results.glob("*/mlflow.json")}
    named = set(re.findall(r"results/SmolLM2-135M/(\w+)", "\n".join(printed)))
    assert named == finished
    (compared,) = (output for command, output in printed.items() if "prunescope compare" in command)
    assert all(name in compared for name in finished)
    assert "/runs?" in printed[UI]
    # The second experiment took the gradients of the first.
    assert len(list(results.glob("_shared/gradients/*"))) == 1
