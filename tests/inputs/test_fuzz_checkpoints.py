"""Checkpoints and configurations changed at random: the numbers of the model, or one sentence."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from inputs.editing import INDEX, SINGLE
from inputs.mutations import (
    SHAPES,
    SOUND,
    Change,
    add,
    configure,
    copy,
    damage,
    divide,
    drop,
    forget,
    index,
    litter,
    map_to,
    parts,
    prefix,
    rename,
    reshape,
    retype,
    sound,
)
from inputs.proof import TOLERANCE, distance, logits, named
from prunescope.errors import PrunescopeError
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import load_model
from prunescope.models.prepare import describe

SECONDS = 10
TOKENS = torch.randint(0, 61, (1, 6), generator=torch.Generator().manual_seed(0))


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int8, torch.uint8]
DTYPES += [torch.int64, torch.bool]
NAMES = ["lm_head.weight", "model.embed_tokens.weight", "embed_tokens.weight", "score.weight", "x", "", "model."]
NAMES += [f"model.layers.{layer}.mlp.up_proj.weight" for layer in (-1, 1, 2)]
NAMES += ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.0"]
NAME = st.sampled_from(NAMES)
PREFIXES = st.sampled_from(["_orig_mod.", "module.", "base_model.model.", "model.", "language_model.", "layers."])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
KEYS = sorted({key for name in SOUND for key in json.loads(parts(name)[1])})
KEYS += ["rope_scaling", "rope_theta", "torch_dtype", "quantization_config", "auto_map", "attn_implementation"]
KEYS += ["partial_rotary_factor", "pretraining_tp", "is_decoder", "_name_or_path", "text_config"]
NUMBERS = st.sampled_from([0, 1, 2, 8, 64, -1, 0.5, 4.0, 500.0, 1e30, "4", None, [1.0] * 5, True])
ROPES = ("default", "linear", "dynamic", "yarn", "llama3", "longrope", "proportional", "spiral")
FACTORS = ["rope_theta", "factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "type"]
FACTORS += [
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "short_factor",
    "long_factor",
    "partial_rotary_factor",
    "mscale",
]
ROPE = st.fixed_dictionaries({"rope_type": st.sampled_from(ROPES)}, optional=dict.fromkeys(FACTORS, NUMBERS))
ROPE |= st.fixed_dictionaries({"type": st.sampled_from(ROPES), "factor": NUMBERS})
LAYER_TYPES = st.lists(st.sampled_from(["full_attention", "sliding_attention", "x"]), max_size=3)
QUANTISED = st.sampled_from([{}, {"quant_method": "fp8"}, {"quant_method": "x"}, {"bits": 4}])
WORDS = ["24", "default", "linear", "float32", "float17", "auto", "gelu", "eager", "sdpa", "flash_attention_2"]
LIKELY = st.sampled_from([*range(13), 20, 24, 40, 61, -1, 10**9, 10**19, 0.5, 1e-6, True, False, *WORDS])
LIKELY |= LAYER_TYPES | QUANTISED


def changes(edit: Callable[..., None], *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    return st.tuples(st.just(edit), *arguments)


AT, SHAPE = st.integers(0, 30), st.sampled_from([(), (24,), (61, 24), (20, 24), (0, 3), (1,)])
FILE = st.sampled_from([SINGLE, "../x", "/etc/passwd", "", ".", None]) | AT | JSON
LITTER = ["consolidated.safetensors", "adapter_model.safetensors", "model-00001-of-00002.safetensors"]
LITTER += ["pytorch_model.bin", "adapter_config.json", "generation_config.json", f"{INDEX}.bak"]
CONTENT = st.sampled_from([b"", b"{}", b"[]", b"version https://git-lfs.github.com/spec/v1\n"]) | st.binary(max_size=9)
CONFIGURED = changes(configure, st.sampled_from(KEYS), LIKELY | JSON)
CHANGE = st.one_of(
    changes(rename, AT, NAME),
    changes(prefix, PREFIXES, st.booleans()),
    changes(drop, AT),
    changes(add, AT, NAME, SHAPE),
    changes(copy, AT, AT, NAME | st.none(), st.sampled_from([1.0, 1.5])),
    changes(reshape, AT, st.integers(0, len(SHAPES) - 1)),
    changes(retype, AT | st.none(), st.sampled_from(DTYPES)),
    changes(divide, st.lists(st.integers(1, 3), min_size=1, max_size=8), st.booleans()),
    changes(map_to, AT | NAME, FILE | st.just(False)),
    changes(index, st.fixed_dictionaries({}, optional={"weight_map": JSON, "metadata": JSON}) | JSON),
    changes(damage, AT | st.none(), st.integers(0, 400) | st.integers(0, 10**5), st.binary(max_size=4), st.booleans()),
    changes(litter, st.sampled_from(LITTER), CONTENT),
    changes(forget, st.sampled_from(KEYS)),
    *[CONFIGURED] * 4,
    changes(configure, st.sampled_from(["rope_parameters", "rope_parameters", "rope_scaling"]), ROPE),
)


TWO = ["sliding_attention", "full_attention"]
WIDE = {"rope_type": "proportional", "rope_theta": 500.0, "partial_rotary_factor": 500.0}
NARROW = {"rope_type": "dynamic", "rope_theta": 8, "factor": 2, "partial_rotary_factor": 0}
HUGE = {"rope_type": "yarn", "rope_theta": 8, "factor": 2, "partial_rotary_factor": "4"}


@given(st.sampled_from(sorted(SOUND)), st.lists(CHANGE, min_size=1, max_size=3))
@example("llama", [(litter, "adapter_config.json", b"{}")])
@example("tied", [(litter, "generation_config.json", b"[]")])
@example("llama", [(add, 0, "embed_tokens.weight", (61, 24))])
@example("qwen2", [(add, 1, "embed_tokens.weight", ())])
@example("llama", [(configure, "return_dict", False)])
@example("llama", [(configure, "output_hidden_states", [None])])
@example("llama", [(configure, "layer_types", TWO)])
@example("llama", [(configure, "sliding_window", ["x"])])
@example("tied", [(configure, "sliding_window", [])])
@example("llama", [(configure, "quantization_config", {})])
@example("llama", [(configure, "rope_parameters", WIDE)])
@example("qwen2", [(configure, "rope_parameters", HUGE)])
@example("qwen2", [(configure, "rope_parameters", NARROW)])
@example("qwen2", [(index, {"weight_map": {"\n": {}}})])
def test_a_checkpoint_gives_the_numbers_of_its_model_or_one_sentence(name: str, changes: list[Change]) -> None:
    folder = sound(name)
    for edit, *arguments in changes:
        if folder.names:
            edit(folder, *arguments)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as path:
        folder.write(Path(path))
        check(Path(path))
    assert time.perf_counter() - begin < SECONDS


def check(path: Path) -> None:
    """Load a folder as the steps do, and as transformers does; they must agree, if it is not refused."""
    try:
        describe("m", path, "", None)
        found = logits(load_model(path, "float32"), TOKENS)
    except PrunescopeError as error:
        assert "\n" not in str(error) and str(error).strip()
        return
    theirs, report = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    assert not {what: named(keys) for what, keys in report.items() if named(keys)}
    expected = logits(theirs.eval(), TOKENS)
    same = torch.equal(torch.isfinite(found), torch.isfinite(expected))
    assert same and (not torch.isfinite(expected).all() or distance(found, expected) < TOLERANCE)


@pytest.mark.parametrize("name", SOUND)
def test_sound_checkpoints_are_accepted(name: str, tmp_path: Path) -> None:
    sound(name).write(tmp_path)
    assert open_checkpoint(tmp_path).tensors
    check(tmp_path)
