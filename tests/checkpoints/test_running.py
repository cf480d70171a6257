"""A pruned checkpoint runs with transformers alone, and exactly as the masked model does."""

import json

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from checkpoints.cases import load

GREEDY = {"do_sample": False}
WAYS = [
    pytest.param(GREEDY, id="greedy"),
    pytest.param(GREEDY | {"num_beams": 3}, id="beam"),
    pytest.param(GREEDY | {"cache_implementation": "static"}, id="static"),
    pytest.param({"do_sample": True, "temperature": 1.5}, id="sampling"),
]


def close(found, wanted, tolerance=1e-9):
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_logits(case, tokens):
    pruned = case.pruned()
    assert pruned.dtype == torch.float64
    assert pruned.model.layers[0].self_attn is None
    assert pruned.model.layers[-1].mlp is None
    logits = pruned(tokens).logits
    close(logits, case.masked()(tokens).logits)
    close(logits, case.expected["logits"], 1e-6)  # of the transformers that wrote it


@pytest.mark.parametrize(("folder", "wanted"), [("padded", "logits"), ("stock", "stock")])
@torch.no_grad()
def test_stock_checkpoints_need_no_code(case, tokens, folder, wanted):
    model = load(case.folder / folder, trust_remote_code=False)
    assert type(model) is type(case.masked())
    assert not list((case.folder / folder).glob("*.py"))
    close(model(tokens).logits, case.expected[wanted], 1e-6)


@torch.no_grad()
def test_cached_decoding(case, tokens):
    pruned, cache, steps = case.pruned(), None, []
    for position in range(tokens.shape[1]):
        out = pruned(tokens[:, position : position + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        steps.append(out.logits)
    close(torch.cat(steps, 1), case.masked()(tokens).logits)


@pytest.mark.parametrize("way", WAYS)
def test_generates_from_left_padded_batches(case, tokens, way):
    prompt, mask = tokens[:, :5], torch.ones(3, 5, dtype=torch.int64)
    mask[0, :2] = 0
    settings = {"attention_mask": mask, "max_new_tokens": 6, "eos_token_id": None} | way
    found = []
    for model in (case.pruned(), case.masked()):
        torch.manual_seed(0)
        found.append(model.generate(prompt, **settings))
    assert torch.equal(*found)


@pytest.mark.parametrize("device_map", ["auto", "split"])
@torch.no_grad()
def test_device_map(case, tokens, tmp_path, device_map):
    if device_map == "split":
        parts = ["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head", "model.layers.0", "model.layers.2"]
        device_map = dict.fromkeys(parts, "cpu") | {"model.layers.1": "disk"}
    pruned = case.pruned(device_map=device_map, offload_folder=tmp_path)
    close(pruned(tokens).logits, case.masked()(tokens).logits)


@torch.no_grad()
def test_saved_again_it_still_carries_its_code(case, tokens, tmp_path):
    case.pruned().save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/modeling_pruned.py").is_file()
    again = load(tmp_path / "again", trust_remote_code=True)
    close(again(tokens).logits, case.masked()(tokens).logits)


def test_tokenizer(case):
    """transformers 5 makes a Qwen2 tokenizer of whatever lies beside a Qwen2 model; the pruned one gets the same."""
    tokenizer = AutoTokenizer.from_pretrained(case.folder / "pruned", trust_remote_code=False)
    words = {"input_ids": [3, 7], "attention_mask": [1, 1]}
    newer = int(transformers.__version__.split(".")[0]) > 4
    parent = json.loads((case.folder / "ids.json").read_text()) if newer else words
    assert dict(tokenizer("w3 w7")) == parent
    assert parent == words or "qwen2" in case.folder.name
