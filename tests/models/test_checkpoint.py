"""The one reader: the tensors that transformers reads, or a sentence with the parameter and the way out."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from prunescope.errors import DataError
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import load_checkpoint, load_offloaded
from shapes import SHAPES
from tiny import save_source, tiny_model, tiny_tokens

CPU = torch.device("cpu")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def save(folder, edit=None, config=None, **shape):
    """Save a model after editing its tensors (in place, or by returning others) and its configuration."""
    save_source(tiny_model(**shape), folder)
    tensors = load_file(folder / WEIGHTS)
    save_file((edit(tensors) if edit else None) or tensors, folder / WEIGHTS, metadata={"format": "pt"})
    if config:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def shard(folder, size="20KB", **shape):
    """Save a model in shards, and return them."""
    save_source(tiny_model(**shape), folder)
    (folder / WEIGHTS).unlink()
    tiny_model(**shape).save_pretrained(folder, max_shard_size=size)
    return sorted(folder.glob("model-*"))


def edit_index(folder, **changes):
    content = json.loads((folder / INDEX).read_text())
    content["weight_map"] |= changes
    (folder / INDEX).write_text(json.dumps(content))


def assert_read_as_by_transformers(folder):
    """Compare logits, and hold transformers to have missed nothing."""
    theirs, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        wanted = theirs(tiny_tokens()).logits
        torch.testing.assert_close(load_checkpoint(folder, torch.float64, CPU)(tiny_tokens()).logits, wanted)
        torch.testing.assert_close(load_offloaded(folder, torch.float64, CPU)(tiny_tokens()).logits, wanted)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read(tmp_path, shape):
    assert_read_as_by_transformers(save(tmp_path, **shape))
    checkpoint = open_checkpoint(tmp_path)
    parameters = dict(tiny_model(**shape).named_parameters())
    assert list(checkpoint.tensors) == list(parameters)
    assert all(torch.equal(checkpoint.read(name), values) for name, values in parameters.items())


def with_buffers(tensors):
    tensors |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(5) for layer in range(4)}


def without_base(tensors):
    return {name.removeprefix("model."): values for name, values in tensors.items()}


def head_alone(tensors):
    tensors[HEAD] = tensors.pop(EMBEDDING)


def equal_head(tensors):
    tensors[HEAD] = tensors[EMBEDDING].clone()


def mixed_dtypes(tensors):
    dtypes = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
    return {name: values.to(dtypes[index % 4]) for index, (name, values) in enumerate(tensors.items())}


@pytest.mark.parametrize(
    ("edit", "shape"),
    [
        (with_buffers, {}),
        (without_base, {}),
        (without_base, {"family": "qwen3", "tie_word_embeddings": True}),
        (head_alone, {"tie_word_embeddings": True}),
        (equal_head, {"tie_word_embeddings": True}),
        (mixed_dtypes, {}),
    ],
)
def test_what_transformers_reads_is_read(tmp_path, edit, shape):
    assert_read_as_by_transformers(save(tmp_path, edit, **shape))


def test_shards_are_read_whatever_lies_beside_them(tmp_path):
    shard(tmp_path)
    (tmp_path / "consolidated.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\0")
    assert_read_as_by_transformers(tmp_path)


def test_an_index_of_the_single_file_is_read(tmp_path):
    folder = save(tmp_path)
    names = load_file(folder / WEIGHTS)
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(names, WEIGHTS)}))
    assert_read_as_by_transformers(folder)


def test_a_stale_index_beside_a_whole_file_is_passed_over(tmp_path, caplog):
    folder = save(tmp_path)
    (folder / INDEX).write_text(json.dumps({"weight_map": {EMBEDDING: "model-00001-of-00002.safetensors"}}))
    assert_read_as_by_transformers(folder)
    assert "names files that are not there, and is passed over" in caplog.text


def test_two_copies_of_one_model_are_one_and_two_models_are_refused(tmp_path):
    shard(tmp_path)
    tensors = tiny_model().state_dict()
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    assert_read_as_by_transformers(tmp_path)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 2
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"holds two models: model\.safetensors, and the \d+ files that"):
        open_checkpoint(tmp_path)


def prefixed(prefix):
    return lambda tensors: {prefix + name: values for name, values in tensors.items()}


def without(ending):
    return lambda tensors: {name: values for name, values in tensors.items() if not name.endswith(ending)}


def another_task(tensors):
    tensors["score.weight"] = tensors.pop(HEAD)[:3].clone()


def differing_head(tensors):
    tensors[HEAD] = tensors[EMBEDDING] * 1.5


def narrowed(tensors):
    name = "model.layers.2.mlp.up_proj.weight"
    tensors[name] = tensors[name][:12].clone()


def packed(tensors):
    name = "model.layers.2.mlp.up_proj.weight"
    tensors[name] = torch.zeros(240, 1, dtype=torch.uint8)


def extra_bias(tensors):
    tensors |= {f"model.layers.{layer}.self_attn.q_proj.bias": torch.ones(40) for layer in range(4)}


def extra(tensors):
    tensors["v_head.weight"] = torch.ones(3)


@pytest.mark.parametrize(
    ("edit", "config", "shape", "said"),
    [
        (prefixed("_orig_mod."), {}, {}, r"begin with '_orig_mod\.', .*: a compiled model was saved: save its"),
        (prefixed("base_model.model."), {}, {}, "a model with an adapter was saved: save what"),
        (prefixed("module."), {}, {}, "a parallel wrapper was saved: save its `module`"),
        (without(HEAD), {}, {}, r"has no head \('lm_head\.weight'\): take .*, or set tie_word_embeddings to true"),
        (another_task, {}, {}, r"has no head .*; 'score\.weight' says that it was saved for another task"),
        (differing_head, {}, {"tie_word_embeddings": True}, "ties 'lm_head.weight' to .*, but they differ: set"),
        (None, {"num_hidden_layers": 6}, {}, "num_hidden_layers is 6, but the files hold 4 layers"),
        (None, {"num_hidden_layers": 3}, {}, "num_hidden_layers is 3, but the files hold 4 layers"),
        (None, {"num_hidden_layers": 10**9}, {}, "num_hidden_layers is 1000000000, but the files hold 4 layers"),
        (None, {"attention_bias": True}, {}, r"wants 'model\.layers\.0\.self_attn\.q_proj\.bias' and 15 more"),
        (extra_bias, {}, {}, r"holds 'model\.layers\.0\.self_attn\.q_proj\.bias' and 3 more, .*: set attention_bias"),
        (extra, {}, {}, r"holds 'v_head\.weight', which the configuration does without: correct config\.json, or load"),
        (without("norm.weight"), {}, {}, r"lacks 'model.layers.0.input_layernorm.weight' and 8 more: correct config"),
        (None, {"vocab_size": 70}, {}, r"'model\.embed_tokens\.weight' is \[61, 24\] in .*, and \[70, 24\] by config"),
        (None, {"num_key_value_heads": 1}, {}, r"k_proj\.weight' is \[20, 24\] in .*, and \[10, 24\] by config\.json"),
        (narrowed, {}, {}, r"up_proj\.weight' is \[12, 24\] .* another tool has pruned it"),
        (packed, {}, {}, r"'model\.layers\.2\.mlp\.up_proj\.weight' is stored as U8: the weights are quantised"),
        (lambda _: {"h.0.w": torch.ones(1)}, {}, {}, r"the files hold no 'model\.layers\.0', but 'h\.0\.w'"),
        (None, {"rope_parameters": {"rope_type": "spiral"}}, {}, r"config\.json in .* cannot be used \(.*spiral"),
        (None, {"dtype": "float7"}, {}, r"dtype = .float7.: must be one of float32, bfloat16"),
        (None, {"hidden_act": "none"}, {}, r"config\.json in .* cannot be used \(.*none"),
    ],
)  # fmt: skip
def test_what_is_another_model_is_refused(tmp_path, edit, config, shape, said):
    save(tmp_path, edit, config, **shape)
    with pytest.raises(DataError, match=said):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "names no files"),
        ("[]", "names no files"),
        ('{"weight_map": []}', "names no files"),
        (
            '{"weight_map": {"x": "../other/model.safetensors"}}',
            r"'x' is in .*: must be the name of a file in the same",
        ),
        ('{"weight_map": {"x": 3}}', "'x' is in 3: must be the name of a file in the same folder"),
        ("{", "is not JSON"),
        ('{"weight_map": {"x": "a.safetensors"}}', r"lacks a\.safetensors: fetch the checkpoint again"),
    ],
)
def test_an_index_of_no_use_is_named(tmp_path, content, said):
    save(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(DataError, match=said):
        open_checkpoint(tmp_path)


def test_an_index_that_contradicts_its_shards_is_named(tmp_path):
    first, second, *_ = shard(tmp_path)
    edit_index(tmp_path, other=first.name)
    with pytest.raises(DataError, match=rf"says that 'other' is in {first.name}, which does not hold it"):
        open_checkpoint(tmp_path)
    name = next(iter(load_file(first)))
    save_file(load_file(second) | {name: torch.ones(1)}, second, metadata={"format": "pt"})
    with pytest.raises(DataError, match=rf"'{name}' is in {first.name} and in {second.name}"):
        open_checkpoint(tmp_path)


def test_files_that_are_no_weights_are_named(tmp_path):
    folder = save(tmp_path)
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match=r"is a pointer of Git LFS, not the weights: run `git lfs pull`"):
        open_checkpoint(folder)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("../blobs/gone")
    with pytest.raises(DataError, match=r"model\.safetensors is a link to \.\./blobs/gone, which is not there"):
        open_checkpoint(folder)
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(DataError, match=r"lacks model\.safetensors: .*pickled weights are not read"):
        open_checkpoint(folder)


def test_an_adapter_is_named(tmp_path):
    save(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds an adapter \(.*\), which transformers would apply: merge it"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("metadata", [None, [1], "missing"])
def test_an_index_that_transformers_does_not_read(tmp_path, metadata):
    shard(tmp_path)
    content = json.loads((tmp_path / INDEX).read_text())
    content = {"weight_map": content["weight_map"]} | ({} if metadata == "missing" else {"metadata": metadata})
    (tmp_path / INDEX).write_text(json.dumps(content))
    with pytest.raises(DataError, match="has no `metadata`, without which transformers does not read it"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("rounded", [HEAD, EMBEDDING])
def test_a_tied_head_that_is_the_embedding_but_for_rounding(tmp_path, rounded):
    """Transformers does not tie them, so that the head is another one."""
    other = {HEAD: EMBEDDING, EMBEDDING: HEAD}[rounded]
    save(
        tmp_path,
        lambda known: known | {rounded: known[EMBEDDING].bfloat16(), other: known[EMBEDDING].clone()},
        tie_word_embeddings=True,
    )
    with pytest.raises(DataError, match="but they differ"):
        open_checkpoint(tmp_path)
