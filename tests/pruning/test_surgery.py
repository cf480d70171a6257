"""The pruned model equals the masked model, wherever it is cut and however it is loaded."""

import json
import subprocess
from weakref import WeakSet

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from prunescope.artifacts.formats import Json
from prunescope.artifacts.plan import PruningPlan, read_ranges, write_ranges
from prunescope.artifacts.plan_file import PlanFile
from prunescope.errors import DataError, PrunescopeError
from prunescope.models.families import FAMILIES
from prunescope.models.loading import load_checkpoint
from prunescope.models.weights import write_shards
from prunescope.pruning.checkpoint import write_checkpoint
from shapes import SHAPES
from tiny import mask_model, save_source, tiny_facts, tiny_model, tiny_tokens, uneven_plan

CPU = torch.device("cpu")


@pytest.fixture(params=SHAPES)
def pruned_and_masked(request, tmp_path):
    model = tiny_model(**request.param)
    facts = save_source(model, tmp_path / "source")
    plan = uneven_plan(facts)
    written = write_checkpoint(facts, plan, tmp_path / "model")
    assert written == facts.total_parameters - plan.removed_parameters
    mask_model(model, plan)
    return load_checkpoint(tmp_path / "model", torch.float64, CPU), model, plan


def test_every_family_is_cut():
    assert {shape.values[0].get("family", "llama") for shape in SHAPES} == set(FAMILIES)


def test_pruned_equals_masked(pruned_and_masked):
    pruned, masked, plan = pruned_and_masked
    assert len(pruned.model.layers) == len(plan.kept_layers) == 3
    assert pruned.model.layers[0].self_attn is None
    assert pruned.model.layers[-1].mlp is None
    tokens = tiny_tokens()
    torch.testing.assert_close(pruned(tokens).logits, masked(tokens).logits, rtol=1e-10, atol=1e-10)


def test_loads_in_a_process_without_the_package(tmp_path, programs):
    model = tiny_model()
    facts = save_source(model, tmp_path / "source")
    plan = uneven_plan(facts)
    write_checkpoint(facts, plan, tmp_path / "model")
    mask_model(model, plan)
    torch.save(model(tiny_tokens()).logits, tmp_path / "expected.pt")
    torch.save(tiny_tokens(), tmp_path / "tokens.pt")
    script = f"""
import sys, torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers import AutoModelForCausalLM
assert "prunescope" not in sys.modules
model = AutoModelForCausalLM.from_pretrained({str(tmp_path / "model")!r}, trust_remote_code=True, dtype="auto")
tokens, expected = torch.load({str(tmp_path / "tokens.pt")!r}), torch.load({str(tmp_path / "expected.pt")!r})
assert model.dtype == torch.float64, model.dtype
torch.testing.assert_close(model(tokens).logits, expected, rtol=1e-10, atol=1e-10)
assert model.generate(tokens, max_new_tokens=4, do_sample=False).shape[1] > tokens.shape[1]
print("loaded", type(model).__name__, "prunescope" in sys.modules)
"""
    environment = {"HF_MODULES_CACHE": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    command = [programs / "python", "-I", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "loaded PrunedLlamaForCausalLM False" in done.stdout


def test_attention_keeps_its_true_index_in_vllm(tmp_path, monkeypatch):
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "vllm", None)  # as vLLM registers its own
    facts = save_source(tiny_model(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    model = load_checkpoint(tmp_path / "model", torch.float64, torch.device("cpu"))
    attended = [index for index, layer in enumerate(model.model.layers) if layer.self_attn is not None]
    assert attended[0] == 1
    assert [model.model.layers[index].self_attn.layer_idx for index in attended] == list(range(len(attended)))
    # vLLM takes the backbone that `auto_map` names, without the head.
    config = AutoConfig.from_pretrained(tmp_path / "model")
    assert config.auto_map["AutoModel"] == "modeling_pruned.PrunedLlamaModel"
    config._attn_implementation_internal = "vllm"
    there = AutoModel.from_config(config)
    assert type(there) is type(model.model)
    assert [there.layers[index].self_attn.layer_idx for index in attended] == attended


def test_shards_are_written_and_read(tmp_path):
    model = tiny_model("qwen2", tie_word_embeddings=True)
    facts = save_source(model, tmp_path / "source")
    model.save_pretrained(tmp_path / "source", max_shard_size="20KB")
    (tmp_path / "source/model.safetensors").unlink()
    plan = uneven_plan(facts)
    for folder, shard_bytes in (("one", 10**9), ("many", 20_000)):
        write_checkpoint(facts, plan, tmp_path / folder, shard_bytes=shard_bytes)
    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_text())
    files = sorted(file.name for file in (tmp_path / "many").glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == files
    assert [file.name for file in (tmp_path / "one").glob("*.safetensors*")] == ["model.safetensors"]
    whole = load_file(tmp_path / "one/model.safetensors")
    parts = [load_file(tmp_path / "many" / file) for file in files]
    assert len(parts) > 2
    assert all(sum(tensor.nbytes for tensor in part.values()) <= 20_000 for part in parts)
    merged = {name: tensor for part in parts for name, tensor in part.items()}
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in merged.values())
    assert index["weight_map"].keys() == merged.keys() == whole.keys()
    assert all(torch.equal(whole[name], tensor) for name, tensor in merged.items())


def test_one_shard_at_a_time_is_in_memory(tmp_path):
    alive = WeakSet()

    def tensors():
        for index in range(12):
            assert len(alive) <= 3, "shards that are written must be gone"
            tensor = torch.full((250,), float(index))
            alive.add(tensor)
            yield f"weight{index}", tensor
            del tensor

    assert write_shards(tensors(), tmp_path, shard_bytes=2_000) == 12 * 250
    assert len(list(tmp_path.glob("model-*-of-00006.safetensors"))) == 6


def test_damaged_source_is_named(tmp_path):
    model = tiny_model()
    facts = save_source(model, tmp_path / "source")
    weights = tmp_path / "source" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"model\.safetensors cannot be read .* damaged or incomplete"):
        write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(DataError, match=r"source/model\.safetensors cannot be read .* damaged or incomplete"):
        load_checkpoint(tmp_path / "source", torch.float32, CPU)


def test_plan_round_trip(tmp_path):
    facts = tiny_facts(tiny_model())
    plan = uneven_plan(facts)
    Json(PlanFile).write(tmp_path / "plan.json", PlanFile.of(plan))
    again = PruningPlan.read(tmp_path / "plan.json", facts)
    for one, other in zip(plan.blocks, again.blocks, strict=True):
        np.testing.assert_array_equal(one.removed, other.removed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "other"}, "is a plan for 'other', not for 'tiny'"),
        ({"removed": {"0": {"mlp": "3,20"}}}, r"removed\.0\.mlp: group 20 does not exist; allowed: 0 to 19"),
        ({"removed": {"4": {"mlp": "0"}}}, r"removed\.4\.mlp: the model has no such block"),
        ({"removed": {"0": {"experts": "0"}}}, r"removed\.0\.experts: the model has no such block"),
        ({"removed": {"0": {"mlp": [3, 4]}}}, r"removed\.0\.mlp must be text such as '0-31,40'"),
        ({"removed": {"0": "3-4"}}, "'removed' must hold, per layer, the groups to remove by block"),
        ({"removed": None}, "'removed' must hold, per layer, the groups to remove by block"),
    ],
)
def test_plan_that_does_not_fit_the_model(tmp_path, change, said):
    facts = tiny_facts(tiny_model())
    (tmp_path / "plan.json").write_text(json.dumps({"model": "tiny", "removed": {}} | change))
    with pytest.raises(PrunescopeError, match=said):
        PruningPlan.read(tmp_path / "plan.json", facts)


@pytest.mark.parametrize(
    ("text", "groups"), [("", []), ("3", [3]), ("0-2,7", [0, 1, 2, 7]), (" 7, 0-2 ", [0, 1, 2, 7])]
)
def test_ranges(text, groups):
    assert read_ranges(text, 8).tolist() == groups
    assert read_ranges(write_ranges(np.array(groups)), 8).tolist() == groups


@pytest.mark.parametrize("text", ["a", "3-1", "-2", "9" * 30, "9" * 5000])
def test_bad_ranges(text):
    with pytest.raises(ValueError, match="not an index or a range"):
        read_ranges(text, 8)


@pytest.mark.parametrize("text", ["8", "0-99999999999", "0-300000000"])
def test_ranges_of_groups_that_do_not_exist_cost_nothing(text):
    with pytest.raises(ValueError, match="does not exist; allowed: 0 to 7"):
        read_ranges(text, 8)
