"""Tiny random models of uneven shapes, and their facts."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from prunescope.models.adapter import adapter_for
from prunescope.models.facts import ModelFacts

VOCABULARY = 61


def tiny_model(family: str = "llama", kv_heads: int = 2, ratio: int = 2, **changes) -> PreTrainedModel:
    """Return a float64 model whose head_dim is not hidden / heads and whose widths are no powers of two."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "intermediate_size": 20,
        "num_hidden_layers": 4,
        "num_attention_heads": kv_heads * ratio,
        "num_key_value_heads": kv_heads,
        "head_dim": 10,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | changes
    if family == "mistral":
        config, architecture = MistralConfig(**{"sliding_window": None} | settings), MistralForCausalLM
    else:
        config, architecture = LlamaConfig(**settings), LlamaForCausalLM
    torch.manual_seed(0)
    config._attn_implementation = "sdpa"
    model = architecture(config).double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def tiny_facts(model: PreTrainedModel, path: Path | str = "", name: str = "tiny") -> ModelFacts:
    """Return the facts of an in-memory model."""
    adapter = adapter_for(model)
    return ModelFacts(
        name=name,
        path=str(path),
        origin="test",
        revision=None,
        model_type=model.config.model_type,
        dtype="float64",
        context=model.config.max_position_embeddings,
        layers=len(adapter.layers),
        total_parameters=adapter.total_parameters,
        decoder_parameters=adapter.decoder_parameters,
        blocks=tuple(block.facts for block in adapter.blocks),
    )


def tiny_tokens(samples: int = 3, length: int = 12) -> torch.Tensor:
    """Return random token windows."""
    return torch.randint(3, VOCABULARY, (samples, length), generator=torch.Generator().manual_seed(1))
