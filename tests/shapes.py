"""Tiny models of every family, with what sets their weights apart."""

import pytest

from checkpoints.cases import MIXED

SHAPES = [
    pytest.param({"kv_heads": 3, "ratio": 1}, id="r1"),
    pytest.param({"kv_heads": 2, "ratio": 2, "tie_word_embeddings": True}, id="r2-tied"),
    pytest.param({"kv_heads": 2, "ratio": 3, "attention_bias": True, "mlp_bias": True}, id="r3-biases"),
    pytest.param({"kv_heads": 3, "ratio": 4}, id="r4"),
    pytest.param({"family": "mistral", "kv_heads": 2, "ratio": 3}, id="mistral"),
    pytest.param({"family": "mistral", "sliding_window": 5}, id="mistral-sliding"),
    pytest.param({"family": "qwen2", "kv_heads": 2, "ratio": 3, "tie_word_embeddings": True}, id="qwen2"),
    pytest.param({"family": "qwen2"} | MIXED, id="qwen2-mixed"),
    pytest.param({"family": "qwen3", "kv_heads": 3, "ratio": 2}, id="qwen3"),
    pytest.param({"family": "qwen3", "attention_bias": True} | MIXED, id="qwen3-mixed-biases"),
]
