"""The pruned checkpoints to try, by family; this module needs transformers alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

MIXED = {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 2}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 4.0}
CASES = {
    "llama": {"kv_heads": 2, "ratio": 3, "attention_bias": True, "mlp_bias": True, "rope_parameters": LLAMA3_ROPE},
    "mistral": {"family": "mistral", "kv_heads": 3, "ratio": 1, "rope_parameters": LINEAR_ROPE},
    "mistral-sliding": {"family": "mistral", "sliding_window": 5, "rope_parameters": YARN_ROPE},
    "qwen2": {"family": "qwen2", "kv_heads": 2, "ratio": 3, "tie_word_embeddings": True, "rope_parameters": YARN_ROPE},
    "qwen2-mixed": {"family": "qwen2"} | MIXED,
    "qwen3-mixed": {"family": "qwen3", "kv_heads": 3, "rope_parameters": DYNAMIC_ROPE} | MIXED,
}
"""Arguments of `tiny.tiny_model`, by the name of the case."""


def load(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto", **options).eval()


@dataclass
class Case:
    """A pruned checkpoint and the stock model, its removed weights zeroed, that it must equal."""

    folder: Path

    def pruned(self, **options):
        return load(self.folder / "pruned", trust_remote_code=True, **options)

    def masked(self):
        return load(self.folder / "masked")

    @property
    def expected(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "expected.safetensors")
