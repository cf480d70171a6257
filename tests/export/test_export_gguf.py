"""What a GGUF file holds, read back; what cannot be held; what is refused."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from gguf import GGUFReader

from checkpoints.cases import YARN_ROPE
from export_models import (
    VOCABULARY,
    byte_level,
    gguf_job,
    sentencepiece_like,
    tiny_checkpoint,
    whole_layer_plan,
    wide_plan,
)
from prunescope.config.sections import Closeness
from prunescope.data.tokenizer import load_tokenizer
from prunescope.errors import ConfigError, ExportError, NonFiniteError
from prunescope.export import llama_cpp
from prunescope.export.agreement import Agreement, checkpoint_logits, compare_logits
from prunescope.export.gguf_file import interleave, rope_factors, write_gguf
from prunescope.export.source import open_source
from prunescope.export.steps import export_gguf, fallbacks
from tiny import even_plan


def write(folder, file_type="f32", **options):
    file = folder / f"{file_type}.gguf"
    checkpoint = open_source(folder / "model")
    write_gguf(checkpoint, file, file_type, **options)
    return GGUFReader(file)


def field(reader, name):
    return reader.fields[name].contents()


def matrices(reader):
    return {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}


# --- sizes and stubs ------------------------------------------------------------------------------------


def test_layers_of_different_widths_are_arrays(tmp_path):
    _, _, plan = tiny_checkpoint(tmp_path)
    reader = write(tmp_path)
    kept = plan.kept_layers
    groups = [len(plan.block(layer, "attention").kept) for layer in kept]
    widths = [len(plan.block(layer, "mlp").kept) for layer in kept]
    assert (groups[0], widths[-1]) == (0, 0)
    assert field(reader, "general.architecture") == "deci"
    assert field(reader, "deci.attention.head_count_kv") == [1, *groups[1:]]  # layer 0: a stub
    assert field(reader, "deci.attention.head_count") == [1, *(2 * count for count in groups[1:])]
    assert field(reader, "deci.feed_forward_length") == [*widths[:-1], 32]
    assert field(reader, "deci.attention.key_length") == field(reader, "deci.rope.dimension_count") == 16
    assert field(reader, "deci.block_count") == 3


def test_blocks_that_llama_cpp_needs_are_stubbed_with_zeros(tmp_path):
    tiny_checkpoint(tmp_path)
    found = matrices(write(tmp_path))
    for name, shape in {
        "blk.0.attn_q": (16, 24), "blk.0.attn_k": (16, 24), "blk.0.attn_v": (16, 24), "blk.0.attn_output": (24, 16),
        "blk.2.ffn_gate": (32, 24), "blk.2.ffn_up": (32, 24), "blk.2.ffn_down": (24, 32),
    }.items():  # fmt: skip
        assert found[f"{name}.weight"].shape == shape
        assert not found[f"{name}.weight"].any(), name
    assert {"blk.0.attn_norm.weight", "blk.2.ffn_norm.weight"} <= set(found)


def test_only_the_first_layer_needs_an_attention_stub(tmp_path):
    from prunescope.artifacts.plan import BlockPlan, PruningPlan

    def without_attention_in_layer_2(facts):
        return PruningPlan(facts.name, tuple(
            BlockPlan(block, np.arange(block.groups if (block.layer, block.block) == (2, "attention") else 0))
            for block in facts.blocks
        ))  # fmt: skip

    tiny_checkpoint(tmp_path, without_attention_in_layer_2)
    reader = write(tmp_path)
    assert field(reader, "deci.attention.head_count") == [4, 4, 0, 4]
    assert not [name for name in matrices(reader) if name.startswith("blk.2.attn")]


@pytest.mark.parametrize(("plan", "sizes"), [(whole_layer_plan, (3, 4, 20)), (even_plan, (4, 2, 12))])
def test_layers_of_one_shape_are_a_plain_llama(tmp_path, plan, sizes):
    tiny_checkpoint(tmp_path, plan)
    reader = write(tmp_path)
    assert field(reader, "general.architecture") == "llama"
    fields = ("block_count", "attention.head_count", "feed_forward_length")
    assert tuple(field(reader, f"llama.{name}") for name in fields) == sizes
    assert field(reader, "llama.attention.key_length") == field(reader, "llama.rope.dimension_count") == 16


def test_every_weight_is_there_in_its_type(tmp_path):
    tiny_checkpoint(tmp_path, wide_plan, attention_bias=False, mlp_bias=True, tie_word_embeddings=True)
    checkpoint = open_source(tmp_path / "model")
    names = set(checkpoint.parameters)
    down = checkpoint.read("model.layers.0.mlp.down_proj.weight").numpy()
    reader = write(tmp_path, "f16")
    assert len(reader.tensors) == len(names)
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == ("F16" if len(tensor.shape) > 1 else "F32")
    np.testing.assert_array_equal(matrices(reader)["blk.0.ffn_down.weight"], down.astype(np.float16))
    assert "output.weight" not in {t.name for t in reader.tensors}
    assert "blk.1.ffn_gate.bias" in {t.name for t in reader.tensors}


def test_a_sliding_window_limits_the_context(tmp_path):
    tiny_checkpoint(tmp_path, family="mistral", sliding_window=24)
    assert field(write(tmp_path), "deci.context_length") == 24


# --- rotary embedding -----------------------------------------------------------------------------------


def rotate_halves(x, angles):
    """transformers': entry i with entry i + d/2. x: [d], angles: [d/2]."""
    half = len(x) // 2
    a, b = x[:half], x[half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()])


def rotate_pairs(x, angles):
    """llama.cpp's: entry 2i with entry 2i + 1."""
    a, b = x[0::2], x[1::2]
    return torch.stack([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], 1).flatten()


def test_interleaved_weights_rotate_like_halves():
    """q.k after rotation is the same in both conventions, head by head, for weights and biases alike."""
    random = torch.Generator().manual_seed(0)
    head_dim, heads, hidden = 6, 3, 5
    query = torch.randn(heads * head_dim, hidden, generator=random, dtype=torch.float64)
    key = torch.randn(heads * head_dim, hidden, generator=random, dtype=torch.float64)
    bias = torch.randn(heads * head_dim, generator=random, dtype=torch.float64)
    x = torch.randn(hidden, generator=random, dtype=torch.float64)
    angles = torch.randn(2, head_dim // 2, generator=random, dtype=torch.float64)
    for head in range(heads):
        rows = slice(head * head_dim, (head + 1) * head_dim)
        q, k = (query @ x + bias)[rows], (key @ x)[rows]
        q2 = (interleave(query, head_dim) @ x + interleave(bias, head_dim))[rows]
        k2 = (interleave(key, head_dim) @ x)[rows]
        expected = rotate_halves(q, angles[0]) @ rotate_halves(k, angles[1])
        torch.testing.assert_close(rotate_pairs(q2, angles[0]) @ rotate_pairs(k2, angles[1]), expected)


def test_query_and_key_are_interleaved_and_value_is_not(tmp_path):
    tiny_checkpoint(tmp_path, wide_plan)
    checkpoint = open_source(tmp_path / "model")
    read = {part: checkpoint.read(f"model.layers.0.self_attn.{part}_proj.weight").float() for part in "qkv"}
    found = matrices(write(tmp_path))
    assert read["q"].shape[0] == 32  # one group of two heads of 16
    for part in "qk":
        assert not torch.equal(interleave(read[part], 16), read[part])
        np.testing.assert_array_equal(found[f"blk.0.attn_{part}.weight"], interleave(read[part], 16).numpy())
    np.testing.assert_array_equal(found["blk.0.attn_v.weight"], read["v"].numpy())


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 64},
    ],
)  # fmt: skip
def test_scaled_frequencies_are_factors(tmp_path, rope):
    """plain / factor are the frequencies of the model's own rotary embedding."""
    model, _, _ = tiny_checkpoint(tmp_path, rope_parameters={"rope_theta": 10000.0} | rope)
    checkpoint = open_source(tmp_path / "model")
    factors = rope_factors(checkpoint)
    plain = 10000.0 ** -(np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(plain / factors.numpy(), model.model.rotary_emb.inv_freq.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(matrices(write(tmp_path))["rope_freqs.weight"], factors.numpy())


# --- what cannot be held --------------------------------------------------------------------------------


def test_query_biases_of_pruned_attention_are_refused(tmp_path):
    tiny_checkpoint(tmp_path, wide_plan, family="qwen2", hidden_size=64)
    with pytest.raises(ExportError, match=r"layers\.0\.self_attn\.q_proj\.bias has 32 entries.*export uniform"):
        write(tmp_path)


def test_query_biases_of_whole_attention_are_held(tmp_path):
    tiny_checkpoint(tmp_path, whole_layer_plan, attention_bias=True, hidden_size=64)
    checkpoint = open_source(tmp_path / "model")
    bias = checkpoint.read("model.layers.0.self_attn.q_proj.bias").float()
    np.testing.assert_array_equal(matrices(write(tmp_path))["blk.0.attn_q.bias"], interleave(bias, 16).numpy())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_act": "gelu"}, "activation 'gelu' has no form"),
        ({"rope_parameters": YARN_ROPE}, "type 'yarn' has no GGUF form"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "a partial rotary embedding"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(tmp_path, changes, said):
    tiny_checkpoint(tmp_path, **changes)
    checkpoint = open_source(tmp_path / "model")
    with pytest.raises(ExportError, match=f"{said}.*prunescope export uniform"):
        write_gguf(checkpoint, tmp_path / "f32.gguf", "f32")
    assert not (tmp_path / "f32.gguf").exists()


def test_norms_of_queries_and_keys_are_refused(tmp_path):
    tiny_checkpoint(tmp_path, family="qwen3")
    with pytest.raises(ExportError, match=r"'deci' has no place for .*self_attn\.q_norm\.weight; use"):
        write(tmp_path)


def test_a_weight_too_large_for_half_precision_is_named(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny_checkpoint(tmp_path)
    weights = load_file(tmp_path / "model/model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] = 1e5
    save_file(weights, tmp_path / "model/model.safetensors")
    with pytest.raises(NonFiniteError, match=r"blk\.1\.ffn_down\.weight is not finite in F16; export it as f32"):
        write(tmp_path, "f16")
    assert np.isclose(matrices(write(tmp_path, "bf16"))["blk.1.ffn_down.weight"][0, 0], 1e5, rtol=0.01)


# --- the tokenizer --------------------------------------------------------------------------------------


def test_a_byte_level_tokenizer(tmp_path):
    tokenizer = byte_level()
    tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    reader = write(tmp_path)
    content = json.loads(tokenizer.to_str())
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    assert (field(reader, "tokenizer.ggml.model"), field(reader, "tokenizer.ggml.pre")) == ("gpt2", "gpt-2")
    assert len(tokens) == VOCABULARY
    assert {text: tokens.index(text) for text in content["model"]["vocab"]} == content["model"]["vocab"]
    assert kinds[:3] == [gguf.TokenType.CONTROL] * 3
    assert kinds[3] == gguf.TokenType.NORMAL
    assert (tokens[-1], kinds[-1]) == (f"[PAD{VOCABULARY - 1}]", gguf.TokenType.UNUSED)
    assert field(reader, "tokenizer.ggml.merges") == [" ".join(pair) for pair in content["model"]["merges"]]
    assert (field(reader, "tokenizer.ggml.bos_token_id"), field(reader, "tokenizer.ggml.eos_token_id")) == (1, 2)
    assert field(reader, "tokenizer.ggml.add_bos_token") is False


def test_a_tokenizer_with_byte_fallback(tmp_path):
    tokenizer = sentencepiece_like()
    tiny_checkpoint(tmp_path, tokenizer=tokenizer)
    reader = write(tmp_path)
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    scores = dict(zip(tokens, field(reader, "tokenizer.ggml.scores"), strict=True))
    merges = ["".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    assert field(reader, "tokenizer.ggml.model") == "llama"
    assert [scores[piece] for piece in dict.fromkeys(merges)] == sorted((scores[p] for p in set(merges)), reverse=True)
    assert kinds[0] == gguf.TokenType.UNKNOWN
    assert kinds[tokens.index("<0x41>")] == gguf.TokenType.BYTE
    assert field(reader, "tokenizer.ggml.add_space_prefix") is True


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}], "smollm"),
        ([{"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}}, {"type": "ByteLevel", "use_regex": False}],
         "llama-bpe"),
        ([{"type": "Split", "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
           r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}}, {"type": "ByteLevel", "use_regex": False}],
         "qwen2"),
    ],
)  # fmt: skip
def test_pre_tokenizers_by_how_they_split(steps, name):
    from prunescope.export.gguf_tokenizer import _pre_tokenizer

    assert _pre_tokenizer({"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}) == name


def test_text_is_split_as_the_family_of_the_checkpoint_splits_it(tmp_path):
    tiny_checkpoint(tmp_path, whole_layer_plan, family="qwen2", hidden_size=64)
    split_by = json.loads((tmp_path / "model/tokenizer.json").read_text())["pre_tokenizer"]["type"]
    loaded = load_tokenizer(tmp_path / "model").backend_tokenizer.pre_tokenizer
    assert (split_by, "Split" in str(loaded)) == ("ByteLevel", True)
    assert field(write(tmp_path), "tokenizer.ggml.pre") == "qwen2"


def test_a_checkpoint_without_its_file_is_told_how_to_get_it(tmp_path):
    tiny_checkpoint(tmp_path)
    (tmp_path / "model/tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"tokenizer\.json, which .*model lacks: .*save_pretrained\('.*model'\)"):
        write(tmp_path)


def test_an_unknown_pre_tokenizer_needs_a_name(tmp_path):
    tiny_checkpoint(tmp_path)
    file = tmp_path / "model/tokenizer.json"
    content = json.loads(file.read_text())
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, content["pre_tokenizer"]]}
    file.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"\['Whitespace', 'bytes'\] is not known here; set export\.gguf\.pre_tok"):
        write(tmp_path)
    assert field(write(tmp_path, pre_tokenizer="mine"), "tokenizer.ggml.pre") == "mine"


# --- the comparison -------------------------------------------------------------------------------------


def test_agreement_is_the_naive_one():
    random = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(2, 70, 9, generator=random, dtype=torch.float64)
    found = compare_logits(ours, theirs)
    p, q = ours.softmax(-1), theirs.softmax(-1)
    naive = [sum(a * (a / b).log() for a, b in zip(one, other, strict=True)) for one, other in zip(p, q, strict=True)]
    assert found.kl == pytest.approx(float(sum(naive) / 70))
    assert found.top1 == np.mean([one.argmax() == other.argmax() for one, other in zip(p, q, strict=True)])
    assert compare_logits(ours, ours) == Agreement(1.0, 0.0, 70)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ExportError, match="mean KL nan"):
        compare_logits(torch.zeros(2, 3), torch.full((2, 3), torch.nan)).require(
            "it", Closeness(min_agreement=0, max_kl=1e9)
        )


@pytest.fixture
def faked(monkeypatch, tmp_path):
    """llama.cpp replaced by the checkpoint itself, plus an error in the logits that a test chooses."""
    tiny_checkpoint(tmp_path)
    error = {"scale": 0.0, "tokens": []}

    def logits(file, tokens):
        exact = checkpoint_logits(tmp_path / "model", tokens)
        noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))
        return (exact + error["scale"] * noise).numpy()

    def tokenize(file, text):
        from prunescope.data.tokenizer import load_tokenizer

        return load_tokenizer(tmp_path / "model")(text, add_special_tokens=False)["input_ids"] + error["tokens"]

    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: name)
    monkeypatch.setattr(llama_cpp, "compute_logits", logits)
    monkeypatch.setattr(llama_cpp, "tokenize", tokenize)
    return tmp_path, error


def test_an_export_that_agrees_is_kept_and_recorded(faked):
    folder, _ = faked
    export_gguf(gguf_job(folder, "f16"))
    file, record = folder / "export/gguf/f16.gguf", json.loads((folder / "records/gguf_f16.json").read_text())
    assert record["metrics"]["export/gguf_f16_bytes"] == file.stat().st_size
    assert record["metrics"]["export/gguf_f16_agreement"] == 1.0
    assert record["metrics"]["export/gguf_f16_kl_nats"] == pytest.approx(0.0, abs=1e-9)


def test_an_export_that_does_not_agree_is_refused_with_the_figures(faked):
    folder, error = faked
    error["scale"] = 5.0
    with pytest.raises(ExportError, match=r"f16\.gguf is refused.* [\d.]+% of 512 positions .*, mean KL [\d.]+"):
        export_gguf(gguf_job(folder, "f16"))
    assert not list(folder.rglob("*.gguf"))
    assert not list(folder.rglob("gguf_*.json"))


def test_rows_that_llama_cpp_cannot_quantise_are_named_first(faked):
    with pytest.raises(
        ExportError, match=r"cannot quantise token_embd\.weight to q8_0: its rows of 24 .*width_multiple"
    ):
        export_gguf(gguf_job(faked[0], "q8_0"))


def test_what_is_quantised_is_compared_before_and_after(faked, monkeypatch):
    folder, error = faked
    job = gguf_job(folder, "q4_k_m", four_bit=Closeness(min_agreement=0, max_kl=9))
    compared = []

    def quantise(source, output, file_type):
        compared.append((source.name, file_type))
        shutil.copy(source, output)
        error["scale"] = 0.3  # rounding

    monkeypatch.setattr(llama_cpp, "quantise", quantise)
    export_gguf(job)
    assert compared == [("f32.gguf", "q4_k_m")]
    assert [file.name for file in folder.rglob("*.gguf")] == ["q4_k_m.gguf"]
    with pytest.raises(ExportError, match=r"^f32\.gguf is refused"):  # wrong before anything is rounded
        export_gguf(job)
    assert len(compared) == 1


def test_a_vocabulary_that_splits_otherwise_is_refused(faked):
    folder, error = faked
    error["tokens"] = [3]
    with pytest.raises(ExportError, match=r"tokenizer makes \d+ tokens and llama\.cpp \d+, which differ from token"):
        export_gguf(gguf_job(folder, "f16"))
    assert not list(folder.rglob("*.gguf"))


def test_without_llama_cpp_the_way_out_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"-e '\.\[gguf\]'"):
        export_gguf(gguf_job(tmp_path, "f16"))


def test_rows_that_are_kept_in_a_larger_type_are_counted(tmp_path):
    tiny_checkpoint(tmp_path)
    write(tmp_path, "f16")
    counted = fallbacks(tmp_path / "f16.gguf", "q4_k_m")
    widths = [t.shape[0] for t in GGUFReader(tmp_path / "f16.gguf").tensors if len(t.shape) > 1]
    assert counted == {"F16": sum(width % 256 != 0 for width in widths)}
    assert fallbacks(tmp_path / "f16.gguf", "f16") == {}
