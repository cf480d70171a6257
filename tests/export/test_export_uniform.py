"""The padded checkpoint is a stock one and computes exactly what the pruned one computes."""

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from checkpoints.cases import LINEAR_ROPE, YARN_ROPE
from export_models import tiny_checkpoint, uniform_job, whole_layer_plan
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.errors import DataError, ExportError
from prunescope.export import steps
from prunescope.export.source import LayerShape, open_source
from prunescope.export.uniform import uniform_shape, write_uniform
from shapes import SHAPES
from tiny import mask_model, tiny_tokens, uneven_plan


def uniform_of(folder):
    (folder / "uniform").mkdir()
    checkpoint = open_source(folder / "model")
    stored = write_uniform(checkpoint, folder / "uniform")
    return stored, uniform_shape(checkpoint)


STRETCHED = [
    pytest.param({"family": "qwen2", "rope_parameters": YARN_ROPE}, id="yarn"),
    pytest.param({"family": "mistral", "sliding_window": 5, "rope_parameters": LINEAR_ROPE}, id="linear-sliding"),
]


@pytest.mark.parametrize("shape", [*SHAPES, *STRETCHED])
def test_it_equals_the_masked_model_without_remote_code(tmp_path, shape):
    masked, _, plan = tiny_checkpoint(tmp_path, **shape)
    stored, widest = uniform_of(tmp_path)
    mask_model(masked, plan)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "uniform", dtype="auto")
    assert type(model) is type(masked)
    assert model.dtype == torch.float64
    assert stored == sum(parameter.numel() for parameter in model.parameters())
    assert widest.width == max(len(plan.block(layer, "mlp").kept) for layer in plan.kept_layers)
    tokens = tiny_tokens()
    torch.testing.assert_close(model(tokens).logits, masked(tokens).logits, rtol=1e-10, atol=1e-10)


def test_layers_that_went_whole_leave_a_plain_checkpoint(tmp_path):
    _, facts, plan = tiny_checkpoint(tmp_path, whole_layer_plan)
    stored, _ = uniform_of(tmp_path)
    assert stored == facts.total_parameters - plan.removed_parameters
    content = json.loads((tmp_path / "uniform/config.json").read_text())
    assert (content["model_type"], content["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert (content["num_hidden_layers"], content["num_attention_heads"], content["intermediate_size"]) == (3, 4, 20)
    assert not {"per_layer_config", "auto_map"} & set(content)
    assert not list((tmp_path / "uniform").glob("*.py"))


def test_no_block_of_a_kind_left_is_one_zero_group(tmp_path):
    def without_attention(facts):
        gone = {"attention": 2, "mlp": 0}
        return PruningPlan(facts.name, tuple(BlockPlan(b, np.arange(gone[b.block])) for b in facts.blocks))

    masked, _, plan = tiny_checkpoint(tmp_path, without_attention)
    _, shape = uniform_of(tmp_path)
    assert shape == LayerShape(2, 1, 20)
    mask_model(masked, plan)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "uniform", dtype="auto")
    torch.testing.assert_close(model(tiny_tokens()).logits, masked(tiny_tokens()).logits, rtol=1e-10, atol=1e-10)


def test_the_hidden_size_must_be_a_multiple_of_the_heads(tmp_path):
    """Three groups of two heads would do, but 32 is no multiple of 6: all four groups are stored."""

    def without_one_group(facts):
        return PruningPlan(
            facts.name, tuple(BlockPlan(b, np.arange(1 if b.block == "attention" else 0)) for b in facts.blocks)
        )

    masked, _, plan = tiny_checkpoint(tmp_path, without_one_group, kv_heads=4, hidden_size=32)
    _, shape = uniform_of(tmp_path)
    assert (shape.heads, shape.kv_heads) == (8, 4)
    mask_model(masked, plan)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "uniform", dtype="auto")
    torch.testing.assert_close(model(tiny_tokens()).logits, masked(tiny_tokens()).logits, rtol=1e-10, atol=1e-10)


def test_a_model_that_was_not_pruned_here_has_no_export(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(DataError, match="models of type 'gpt2' cannot be read; known: llama, mistral"):
        steps.export_uniform(uniform_job(tmp_path))


def test_the_step_records_what_it_costs(tmp_path):
    _, facts, plan = tiny_checkpoint(tmp_path, uneven_plan)
    steps.export_uniform(uniform_job(tmp_path))
    metrics = json.loads((tmp_path / "records/uniform.json").read_text())["metrics"]
    needed = facts.total_parameters - plan.removed_parameters
    assert metrics["export/uniform_parameters_needed"] == needed
    assert metrics["export/uniform_parameters"] > needed
    assert metrics["export/uniform_agreement"] == 1.0
    assert math.isclose(metrics["export/uniform_kl_nats"], 0.0, abs_tol=1e-9)


def test_a_padding_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    tiny_checkpoint(tmp_path)
    sound = steps.write_uniform

    def forget_a_row(checkpoint, folder):
        from safetensors.torch import load_file, save_file

        stored = sound(checkpoint, folder)
        weights = load_file(folder / "model.safetensors")
        weights["model.layers.1.mlp.down_proj.weight"][0] = 9.0
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return stored

    monkeypatch.setattr(steps, "write_uniform", forget_a_row)
    with pytest.raises(ExportError, match="the padded checkpoint is refused"):
        steps.export_uniform(uniform_job(tmp_path))
    assert not (tmp_path / "export/uniform").exists()
