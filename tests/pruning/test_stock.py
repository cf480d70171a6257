"""A plan that leaves all layers alike makes a stock checkpoint, which needs no code of ours."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.export.source import open_source
from prunescope.models.stock import stock_groups
from prunescope.pruning.checkpoint import write_checkpoint
from shapes import SHAPES
from tiny import even_plan, mask_model, save_source, tiny_model, tiny_tokens


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_the_masked_model(tmp_path, shape):
    model = tiny_model(**shape)
    facts = save_source(model, tmp_path / "source")
    plan = even_plan(facts)
    written = write_checkpoint(facts, plan, tmp_path / "model")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto", trust_remote_code=False)
    assert type(stock) is type(model)
    assert stock.config.model_type == model.config.model_type
    assert stock.config.architectures == [type(model).__name__]
    assert stock.config.num_key_value_heads == len(plan.block(0, "attention").kept)
    assert (stock.config.intermediate_size, stock.config.head_dim) == (12, 10)
    assert written == sum(parameter.numel() for parameter in stock.parameters())
    one, other = (AutoTokenizer.from_pretrained(tmp_path / name)("w3 w7")["input_ids"] for name in ("model", "source"))
    assert one == other
    mask_model(model, plan)
    tokens = tiny_tokens()
    torch.testing.assert_close(stock(tokens).logits, model(tokens).logits, rtol=1e-10, atol=1e-10)
    assert open_source(tmp_path / "model").even


def test_it_holds_no_code_and_no_word_of_ours(tmp_path):
    facts = save_source(tiny_model(kv_heads=3), tmp_path / "source")
    write_checkpoint(facts, even_plan(facts), tmp_path / "model")
    parent, content = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("source", "model"))
    assert content.keys() - parent.keys() == {"rope_theta", "rope_scaling"}  # of transformers 4
    changed = {name for name in parent if content[name] != parent[name]}
    assert changed == {"num_attention_heads", "num_key_value_heads", "intermediate_size"}
    assert not list((tmp_path / "model").glob("*.py"))


def test_without_a_whole_layer_it_is_stock(tmp_path):
    model = tiny_model("mistral")
    facts = save_source(model, tmp_path / "source")
    blocks = (BlockPlan(block, np.arange(block.groups if block.layer == 2 else 0)) for block in facts.blocks)
    plan = PruningPlan(facts.name, tuple(blocks))
    write_checkpoint(facts, plan, tmp_path / "model")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="auto")
    assert (type(stock), stock.config.num_hidden_layers) == (type(model), 3)


def test_what_stock_programs_do_not_take_keeps_its_code(tmp_path):
    """A Llama configuration of transformers 5 wants heads that divide the hidden size: 6 of 8 do not divide 32."""
    facts = save_source(tiny_model(kv_heads=4, hidden_size=32), tmp_path / "source")
    assert facts.stock_groups == (1, 2, 4)
    blocks = (BlockPlan(block, np.arange(1 if block.block == "attention" else 0)) for block in facts.blocks)
    write_checkpoint(facts, PruningPlan(facts.name, tuple(blocks)), tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["model_type"] == "pruned_llama"
    assert (tmp_path / "model/modeling_pruned.py").exists()


@pytest.mark.parametrize(
    ("family", "kept"), [("llama", (1, 2, 4, 8)), ("mistral", tuple(range(1, 9))), ("qwen2", (8,))]
)
def test_groups_that_stock_programs_take(family, kept):
    """Of a model of the shape of Llama 3 8B."""
    content = {"model_type": family, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
    assert stock_groups(content) == kept
