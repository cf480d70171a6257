"""The benchmarks: both sides compute the same, and they run where little is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import measure
import naive

from prunescope.importance.engine import collect_gradients
from prunescope.models.adapter import adapter_for
from prunescope.trial import interventions
from prunescope.trial.removal import measure_removal
from tiny import tiny_model, tiny_tokens

LITTLE = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
absent = {"accelerate", "mlflow", "pandas", "psutil", "pydantic", "rich", "snakemake", "typer"}
PathFinder.find_spec = staticmethod(lambda name, *args: None if name.split(".")[0] in absent else find(name, *args))
import gpu
import prunescope.pruning.refit
"""


def test_the_naive_removal_is_the_removal():
    model, windows = tiny_model(), tiny_tokens(samples=5)
    exact = measure_removal(adapter_for(model), windows, 2)
    removals = [(layer, part) for layer in range(4) for part in ("attention", "mlp", "layer")]
    found = naive.removal(model, windows, removals)  # transformers' own loss is float32
    assert found == pytest.approx([getattr(exact, part)[layer].item() for layer, part in removals], abs=1e-5)


def test_the_naive_table_has_the_saliency_of_taylor():
    model, windows = tiny_model(), tiny_tokens(samples=4)
    expected = collect_gradients(adapter_for(model), windows, ["taylor"], 2).saliency["taylor"]
    saliency, statistics = naive.gradients(model, windows, batch_size=2)
    rows = naive.table(saliency, {"attention": [1.0] * 4, "mlp": [1.0] * 4}, head_dim=10, temperature=1)
    assert len(rows) == sum(len(scores) for scores in expected.values())
    for row in rows:
        scores = expected[f"{row['layer']}.{row['block']}"]
        assert row["saliency"] == pytest.approx(scores[row["group"]].item(), rel=1e-5)
    assert {len(batches) for batches in statistics.values()} == {2}


def test_work_is_counted_as_layers_run():
    model, windows = tiny_model(num_hidden_layers=8), tiny_tokens(samples=3)
    adapter, multiplied = adapter_for(model), []
    for module in model.modules():
        if hasattr(module, "in_features"):
            module.register_forward_hook(
                lambda one, args, _: multiplied.append(one.weight.numel() * args[0].numel() // one.in_features)
            )
    measure_removal(adapter, windows, 2)
    counted = measure.removal_flops(adapter, windows) / 2
    assert sum(multiplied) == pytest.approx(counted, rel=0.1)  # the head skips the last token
    assert counted < 0.6 * 25 * measure.matrix_parameters(adapter) * windows.numel()


def test_plans_one_by_one_are_the_interventions():
    adapter, windows = adapter_for(tiny_model()), tiny_tokens(samples=5)
    plans = measure.random_plans(adapter, 3)
    found = interventions.measure(adapter, windows, plans, 2).loss[1:]
    assert measure.one_by_one(adapter, windows, plans, 2) == [pytest.approx(row, rel=1e-9) for row in found.tolist()]


def test_gpu_benchmark_imports_little():
    subprocess.run([sys.executable, "-c", LITTLE], cwd=Path(naive.__file__).parent, check=True)
