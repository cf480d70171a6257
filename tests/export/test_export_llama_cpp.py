"""Exports in llama.cpp itself; skipped where llama-cpp-python is not installed."""

import numpy as np
import pytest

from checkpoints.cases import LINEAR_ROPE
from export_models import gguf_job, sentencepiece_like, tiny_checkpoint, whole_layer_plan
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.errors import ExportError
from prunescope.export import gguf_file
from prunescope.export.steps import export_gguf

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[gguf]'")


def narrow_mlp(facts):
    """Layer 1 keeps eight channels, everything else stays."""
    return PruningPlan(
        facts.name,
        tuple(
            BlockPlan(block, np.arange(12 if (block.layer, block.block) == (1, "mlp") else 0)) for block in facts.blocks
        ),
    )


def export_f32(folder):
    export_gguf(gguf_job(folder, "f32", exact={"min_agreement": 0.98, "max_kl": 1e-3}))


SHAPES = [
    pytest.param({}, id="no-attention-in-layer-0-no-mlp-in-the-last"),
    pytest.param({"kv_heads": 3, "ratio": 1, "mlp_bias": True}, id="one-head-per-group"),
    pytest.param({"tie_word_embeddings": True, "tokenizer": sentencepiece_like()}, id="sentencepiece"),
    pytest.param({"family": "mistral"}, id="mistral"),
    pytest.param({"family": "qwen2", "plan": narrow_mlp, "hidden_size": 64}, id="qwen2-with-its-attention-whole"),
    pytest.param({"plan": whole_layer_plan, "attention_bias": True, "hidden_size": 64}, id="plain-llama-with-biases"),
    pytest.param(
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
        id="llama3-rope",
    ),
    pytest.param({"family": "mistral", "rope_parameters": LINEAR_ROPE}, id="linear-rope"),
    pytest.param({"family": "mistral", "sliding_window": 200}, id="sliding-window"),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_llama_cpp_computes_what_the_checkpoint_computes(tmp_path, shape):
    tiny_checkpoint(tmp_path, **shape)
    export_f32(tmp_path)
    assert (tmp_path / "export/gguf/f32.gguf").is_file()


def without_an_mlp(facts):
    """Layer 1 keeps its attention and loses its MLP."""
    return PruningPlan(
        facts.name,
        tuple(
            BlockPlan(block, np.arange(block.groups if (block.layer, block.block) == (1, "mlp") else 0))
            for block in facts.blocks
        ),
    )


def test_attention_without_the_mlp_stub_is_silently_wrong_and_refused(tmp_path, monkeypatch):
    tiny_checkpoint(tmp_path, without_an_mlp)
    export_f32(tmp_path)
    (tmp_path / "export/gguf/f32.gguf").unlink()
    monkeypatch.setattr(gguf_file, "STUB_WIDTH", 0)
    monkeypatch.setattr(gguf_file, "_stubs", lambda *_, **__: iter(()))
    with pytest.raises(ExportError, match=r"f32\.gguf is refused, .* mean KL [\d.]+ nats"):
        export_f32(tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))


def test_no_attention_in_layer_0_without_the_stub_stops_llama_cpp_and_is_refused(tmp_path, monkeypatch):
    tiny_checkpoint(tmp_path)
    monkeypatch.setattr(gguf_file, "_with_first_head", lambda index, shape: (shape.heads, shape.kv_heads))
    stubs = gguf_file._stubs
    monkeypatch.setattr(
        gguf_file, "_stubs", lambda *args, missing_attention, **more: stubs(*args, missing_attention=False, **more)
    )
    with pytest.raises(ExportError, match=r"llama\.cpp (refuses|stopped at one of its own checks)|is refused"):
        export_f32(tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))


@pytest.mark.parametrize("file_type", ["q8_0", "q4_k_m"])
def test_quantised_by_llama_cpp(tmp_path, file_type):
    def half_of_an_mlp(facts):
        return PruningPlan(facts.name, tuple(BlockPlan(b, np.arange(32 * (b.groups == 64))) for b in facts.blocks))

    tiny_checkpoint(tmp_path, half_of_an_mlp, hidden_size=64, intermediate_size=64)
    rounded = {"min_agreement": 0.05, "max_kl": 3.0}  # random weights suffer from rounding as no trained ones do
    export_gguf(gguf_job(tmp_path, file_type, eight_bit=rounded, four_bit=rounded))
    assert [file.name for file in tmp_path.rglob("*.gguf")] == [f"{file_type}.gguf"]
