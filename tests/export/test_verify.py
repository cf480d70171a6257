"""`verify` passes on what pruning wrote, and fails on anything else."""

import sys
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from export_models import uniform_job
from prunescope.artifacts.folders import EvaluationTextFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.plan_file import PlanFile
from prunescope.cli import people
from prunescope.config.sections import GgufExport, Settings
from prunescope.errors import DataError
from prunescope.export import llama_cpp
from prunescope.export.agreement import checkpoint_logits
from prunescope.export.checks import print_checks
from prunescope.export.steps import export_uniform
from prunescope.export.verify import verify
from prunescope.models.adapter import adapter_for
from prunescope.packages import LLAMA_CPP
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.fitted import FittedLayers, load_fitted
from prunescope.pruning.refit import refit
from tiny import save_source, tiny_model, tiny_tokens, uneven_plan

CONFIG = Path(__file__).parents[2] / "config/config.yaml"


@pytest.fixture
def experiment(tmp_path, monkeypatch, programs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    facts = save_source(tiny_model("qwen3"), tmp_path / "source")
    folder = ExperimentFolder.of("tiny", "e")
    ModelFolder(Path(ModelFolder.of("tiny", "m"))).facts.write(facts)
    texts = {"words/w8": tiny_tokens(length=8), "words/w12": tiny_tokens()}
    EvaluationTextFolder(Path(EvaluationTextFolder.of("tiny", "t"))).windows.write(texts)
    told = {"model": "tiny", "experiment": "e", "dataset": "words", "settings": Settings(), "params": {}}
    folder.identity.write(Identity(**told, shared={"model": "m", "evaluation_text": "t"}))
    plan = uneven_plan(facts)
    folder.plan.write(PlanFile.of(plan))
    write_checkpoint(facts, plan, folder.checkpoint.path)
    return folder.path


def checks_of(directory, **limits):
    return verify(ExperimentFolder(directory), GgufExport(**limits))


def test_what_pruning_wrote_passes(experiment, capsys):
    with pytest.raises(typer.Exit) as stopped:
        people.verify(experiment, CONFIG)
    assert stopped.value.exit_code == 0
    assert capsys.readouterr().out.count("equal") == 2


def test_one_wrong_weight_fails(experiment, capsys):
    weights = load_file(experiment / "model/model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] += 0.1
    save_file(weights, experiment / "model/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(typer.Exit) as stopped:
        people.verify(experiment, CONFIG)
    assert stopped.value.exit_code == 1
    assert capsys.readouterr().out.count("DIFFERS") == 2


def test_weights_that_are_not_numbers_fail(experiment):
    weights = load_file(experiment / "model/model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, experiment / "model/model.safetensors", metadata={"format": "pt"})
    assert not any(check.passed for check in checks_of(experiment))


def test_a_checkpoint_that_needs_this_package_fails(experiment):
    code = experiment / "model/modeling_pruned.py"
    code.write_text("import prunescope\n" + code.read_text())
    (check,) = checks_of(experiment)
    assert not check.passed
    assert "does not run with transformers alone" in check.reason


def test_a_checkpoint_that_there_is_no_memory_for_is_not_called_different(experiment):
    code = experiment / "model/modeling_pruned.py"
    whole = code.read_text()
    code.write_text(f'raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")\n{whole}')
    (check,) = checks_of(experiment)
    assert not check.failed
    assert "the host has not the memory to run" in check.reason
    code.write_text(f"import os\nos.kill(os.getpid(), 9)\n{whole}")
    (check,) = checks_of(experiment)
    assert not check.failed


def test_a_repaired_checkpoint_is_compared_with_the_repaired_parent(experiment):
    folder, model = ExperimentFolder(experiment), tiny_model("qwen3")
    facts = folder.input(ModelFolder).ready()
    plan, adapter = uneven_plan(facts), adapter_for(model)
    refit(adapter, tiny_tokens(20), plan, adapter.weights, (0.1,), FittedLayers(folder.fitted.path, "this"), 5)
    # What scales put in place of a fit counts, and of the others the fit.
    fitted = load_fitted(folder.fitted.path, "refit")
    scaled = {name: 2 * weights for name, weights in list(fitted.items())[:1]}
    FittedLayers(folder.scaled.path, "this").keep(0, scaled, [])
    write_checkpoint(facts, plan, folder.checkpoint.path, fitted=fitted | scaled)
    folder.identity.write(folder.identity.read().model_copy(update={"steps": {"refit": "e-1"}}))
    assert not any(check.passed for check in checks_of(experiment))
    folder.identity.write(folder.identity.read().model_copy(update={"steps": {"refit": "e-1", "scales": "e-1"}}))
    assert all(check.passed for check in checks_of(experiment))


def test_nothing_to_verify(experiment):
    (experiment / "model").rename(experiment / "elsewhere")
    with pytest.raises(DataError, match=r"has nothing to verify .*; run its pruning step first"):
        checks_of(experiment)


def test_a_padded_checkpoint_is_compared_too(experiment):
    export_uniform(uniform_job(experiment))
    forms = {check.form: check.passed for check in checks_of(experiment)}
    assert forms == {"transformers": True, "uniform": True}
    weights = load_file(experiment / "export/uniform/model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"][0, 0] += 0.1
    save_file(weights, experiment / "export/uniform/model.safetensors", metadata={"format": "pt"})
    forms = {check.form: check.failed for check in checks_of(experiment)}
    assert forms == {"transformers": False, "uniform": True}


@pytest.fixture
def with_gguf(experiment, monkeypatch):
    """Nothing but a GGUF file; llama.cpp is the checkpoint itself, plus an error in the logits that a test chooses."""
    checkpoint = (experiment / "model").rename(experiment / "elsewhere")
    (experiment / "export/gguf").mkdir(parents=True)
    (experiment / "export/gguf/q8_0.gguf").touch()
    error = {"scale": 0.0}

    def logits(file, tokens):
        exact = checkpoint_logits(checkpoint, tokens)
        return (exact + error["scale"] * torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))).numpy()

    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: name)
    monkeypatch.setattr(llama_cpp, "compute_logits", logits)
    return experiment, error


def test_a_gguf_file_is_held_to_the_limits_of_its_type_on_text(with_gguf):
    experiment, error = with_gguf
    (check,) = checks_of(experiment)
    assert (check.form, check.text, check.passed) == ("GGUF q8_0", "words", True)
    error["scale"] = 0.5
    assert checks_of(experiment)[0].failed
    assert checks_of(experiment, eight_bit={"min_agreement": 0.0, "max_kl": 9.0})[0].passed


def test_without_llama_cpp_a_gguf_file_is_not_checked_and_that_is_said(with_gguf, monkeypatch, capsys):
    experiment, _ = with_gguf
    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: None)
    (check,) = checks_of(experiment)
    assert not check.passed and not check.failed
    print_checks([check])
    assert f"not checked: {LLAMA_CPP.said}" in " ".join(capsys.readouterr().out.split())
