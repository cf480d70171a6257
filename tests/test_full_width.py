"""Two layers of the full width of a 7B model: its steps need the memory of one layer, and find what the others find."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from measure import PUBLIC
from shape import write_shape

from prunescope.artifacts.folders import CalibrationFolder, EvaluationTextFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.config.sections import Corrections, Limits, Method, Settings
from prunescope.environment import DEVICE_MEMORY, HOST_MEMORY
from prunescope.steps.evaluation import BaselineSpec, EvaluationSpec
from prunescope.steps.importance import GradientsSpec, ImportanceSpec
from prunescope.steps.job import run
from prunescope.steps.pruning import PruningSpec
from prunescope.steps.spec import Spec
from tiny import tiny_facts

SHAPE = replace(PUBLIC["Mistral-7B-v0.3"], layers=2, vocabulary=512)
META = torch.device("meta")

LAYER = 4 * 218.1e6 / 2**30
"""GiB of a layer's weights in float32."""
OTHERWISE = 0.5
"""GiB of the process without any model."""
MOST = OTHERWISE + 3.5 * LAYER
"""GiB that one layer takes: its weights, their mean gradients, a gradient, what is computed of it."""

CHILD = """
import json, sys
from pathlib import Path
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.sections import GgufExport
from prunescope.export.verify import verify
from prunescope.models.memory import release
from prunescope.steps.job import run
for step, folder, spec in json.loads(sys.argv[1]):
    run(step, Path(folder), spec)
    release()  # each has a process of its own in the workflow
    print(step, flush=True)
assert all(check.passed for check in verify(ExperimentFolder(Path(sys.argv[2])), GgufExport()))
print("verify", flush=True)
"""


def measured(steps: list[tuple[str, Spec]], experiment: str, **environment: str) -> dict[str, float]:
    """Run steps and `verify` in another process; return the peak of its anonymous memory by step, in GiB."""
    told = json.dumps([[spec.step, path, spec.text()] for path, spec in steps])
    settings = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command, variables = [sys.executable, "-c", CHILD, told, experiment], os.environ | settings | environment
    peaks: dict[str, float] = {}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as child:
        seen = [0.0]

        def sample() -> None:
            while child.poll() is None:
                seen.append(anonymous(child.pid))
                time.sleep(0.01)

        sampling = threading.Thread(target=sample)
        sampling.start()
        for line in child.stdout:
            peaks[line.strip()] = max(seen)
            seen[:] = [0.0]
        sampling.join()
    assert child.returncode == 0
    return peaks


def anonymous(process: int) -> float:
    """GiB of memory that no file stands for; 0 where the process is gone."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("RssAnon")), 0.0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a model of that width, and windows."""
    monkeypatch.chdir(tmp_path)
    write_shape(SHAPE, tmp_path / "model")
    shared = Path("results/shape/_shared")
    ModelFolder(shared / "model/m").facts.write(tiny_facts(SHAPE.build(torch.bfloat16, META), tmp_path / "model"))
    windows = torch.randint(SHAPE.vocabulary, (2, 32), generator=torch.Generator().manual_seed(0)).int()
    CalibrationFolder(shared / "calibration/c").samples.write({"input_ids": windows})
    EvaluationTextFolder(shared / "evaluation_text/t").windows.write({"text/w32": windows})
    return tmp_path


def scoring(experiment: str, mode: str) -> list[tuple[str, Spec]]:
    """Return the steps up to the plan."""
    names = {"model": "shape", "experiment": experiment, "inputs": {"model": "m", "gradients": mode}}
    gradients = GradientsSpec(
        inputs={"model": "m", "calibration": "c"}, dtype="float32", criteria=("taylor",), batch_size=2, mode=mode
    )
    settings = {"method": Method(ratio=0.2), "corrections": Corrections(), "limits": Limits()}
    return [
        (f"results/shape/_shared/gradients/{mode}", gradients),
        (f"results/shape/{experiment}", ImportanceSpec(**names, **settings)),
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_memory_of_a_layer_is_enough(project):
    names, texts = {"model": "shape", "experiment": "little"}, {"evaluation_text": "t", "baseline": "b"}
    little, plenty = (ExperimentFolder(Path("results/shape", name)) for name in ("little", "plenty"))
    shared = {"model": "m"} | texts
    little.identity.write(Identity(**names, dataset="text", settings=Settings(), params={}, shared=shared))
    evaluation = EvaluationSpec(**names, inputs=texts, dtype="float32", leakage={"text": "none"})
    baseline = BaselineSpec(inputs={"model": "m", "evaluation_text": "t"}, dtype="float32")
    steps = [
        *scoring("little", "auto"),
        (str(little.path), PruningSpec(**names, inputs={"model": "m"})),
        ("results/shape/_shared/baseline/b", baseline),
        (str(little.path), evaluation),
    ]
    peaks = measured(steps, str(little.path), **{DEVICE_MEMORY: "0.5", HOST_MEMORY: "1"})
    assert peaks.keys() == {"gradients", "importance", "pruning", "baseline", "evaluation", "verify"}
    assert max(peaks.values()) < MOST < OTHERWISE + 4 * LAYER, peaks  # weights and gradients of both layers take 4
    for path, spec in scoring("plenty", "accumulate"):
        run(spec.step, Path(path), spec.text())
    assert little.plan.path.read_bytes() == plenty.plan.path.read_bytes()
