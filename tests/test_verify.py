"""`verify` passes on what pruning wrote, and fails on anything else."""

import json

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from prunescope import cli
from prunescope.errors import DataError
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.verify import verify
from tiny import save_source, tiny_model, tiny_tokens, uneven_plan


@pytest.fixture
def experiment(tmp_path):
    facts = save_source(tiny_model("qwen3"), tmp_path / "source")
    facts.write(tmp_path / "shared/model.json")
    save_file({"words/w8": tiny_tokens(length=8), "words/w12": tiny_tokens()}, tmp_path / "shared/windows.safetensors")
    directory = tmp_path / "experiment"
    directory.mkdir()
    shared = dict.fromkeys(("model", "evaluation_text"), str(tmp_path / "shared"))
    (directory / "experiment.json").write_text(json.dumps({"shared": shared}))
    plan = uneven_plan(facts)
    plan.write(directory / "analysis/plan.json")
    write_checkpoint(facts, plan, directory / "model", provenance={})
    return directory


def test_what_pruning_wrote_passes(experiment, capsys):
    with pytest.raises(typer.Exit) as stopped:
        cli.verify(experiment)
    assert stopped.value.exit_code == 0
    assert capsys.readouterr().out.count("equal") == 2


def test_one_wrong_weight_fails(experiment, capsys):
    weights = load_file(experiment / "model/model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] += 0.1
    save_file(weights, experiment / "model/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(typer.Exit) as stopped:
        cli.verify(experiment)
    assert stopped.value.exit_code == 1
    assert capsys.readouterr().out.count("DIFFERS") == 2


def test_weights_that_are_not_numbers_fail(experiment):
    weights = load_file(experiment / "model/model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, experiment / "model/model.safetensors", metadata={"format": "pt"})
    assert not any(check.passed for check in verify(experiment))


def test_a_checkpoint_that_needs_this_package_fails(experiment):
    code = experiment / "model/modeling_pruned_qwen3.py"
    code.write_text("import prunescope\n" + code.read_text())
    (check,) = verify(experiment)
    assert not check.passed
    assert "does not run with transformers alone" in check.failure


def test_nothing_to_verify(experiment):
    (experiment / "model").rename(experiment / "elsewhere")
    with pytest.raises(DataError, match=r"has nothing to verify \(model\); run its pruning step first"):
        verify(experiment)
