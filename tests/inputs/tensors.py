"""Checkpoints: shapes, dtypes and values of the tensors in them."""

import torch
from torch import Tensor

from inputs.case import Case, Edit
from inputs.editing import (
    EMBEDDING,
    NORM,
    UP,
    Tensors,
    added,
    changed,
    made,
    sharded,
    stored,
    told,
)


def quarter(tensor: Tensor) -> Tensor:
    """Return a weight as bitsandbytes packs it into 4 bits: bytes in a column."""
    return torch.zeros(tensor.numel() // 2, 1, dtype=torch.uint8)


def gptq(tensors: Tensors) -> Tensors:
    packed: Tensors = {}
    for name, value in tensors.items():
        if "proj" not in name:
            packed[name] = value
            continue
        rows, columns = value.shape
        base = name.removesuffix("weight")
        packed |= {
            f"{base}qweight": torch.zeros(columns // 2, rows, dtype=torch.int32),
            f"{base}qzeros": torch.zeros(1, rows // 2, dtype=torch.int32),
            f"{base}scales": torch.zeros(1, rows, dtype=torch.float16),
        }
    return packed


def one_value(value: float) -> Edit:
    def spoil(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[0, 0] = value
        return tensor

    return changed(UP, spoil)


def mixed(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16) if tensor.ndim == 2 else tensor


def halved(pattern: str, dim: int = 0) -> Edit:
    return changed(pattern, lambda tensor: tensor.narrow(dim, 0, tensor.shape[dim] // 2))


CASES = [
    Case("tensors in float64", (made(torch.float64),)),
    Case("tensors in bfloat16", (made(torch.bfloat16),)),
    Case("tensors in float16", (made(torch.float16),)),
    Case("shards of mixed dtype", (changed("layers.1", mixed), sharded())),
    Case("a vocabulary of more rows than the configuration says", (told(vocab_size=50),), "embed_tokens|vocab_size"),
    Case("a vocabulary of fewer rows than the configuration says", (told(vocab_size=70),), "embed_tokens|vocab_size"),
    Case("more heads than the weights have", (told(num_attention_heads=8),), "q_proj|o_proj"),
    Case("fewer key heads than the weights have", (told(num_key_value_heads=1),), "k_proj|v_proj"),
    Case("another head_dim", (told(head_dim=12),), "proj"),
    Case("a wider MLP in the configuration", (told(intermediate_size=40),), "proj"),
    Case(
        "a layer that another pruner narrowed",
        (
            halved(r"layers\.1\.mlp\.(up|gate)"),
            halved(r"layers\.1\.mlp\.down", 1),
        ),
        r"layers\.1\.mlp",
    ),
    Case("a weight the other way round", (changed(UP, lambda tensor: tensor.T),), UP),
    Case("a weight with one dimension more", (changed(UP, lambda tensor: tensor[None]),), UP),
    Case("a norm that is a single number", (changed(NORM, lambda tensor: tensor[0]),), NORM),
    Case("a weight without entries", (changed(UP, lambda tensor: tensor[:0]),), UP),
    Case("4-bit blocks without `quantization_config`", (changed("proj", quarter),), r"proj.*quanti|quanti.*proj"),
    Case(
        "4-bit blocks with their states",
        (
            changed("proj", quarter),
            added(model__layers__0__mlp__up_proj__weight__absmax=torch.ones(4)),
        ),
        "quanti",
    ),
    Case(
        "8-bit whole numbers without `quantization_config`",
        (changed("proj", lambda t: t.to(torch.int8)),),
        "quanti|int8|I8",
    ),
    Case(
        "fp8 without `quantization_config`", (changed("proj", lambda t: t.to(torch.float8_e4m3fn)),), "quanti|float8|F8"
    ),
    Case(
        "fp8 with scales",
        (
            changed("proj", lambda t: t.to(torch.float8_e4m3fn)),
            added(model__layers__0__mlp__up_proj__weight_scale_inv=torch.ones(1, 1)),
        ),
        "quanti|float8|F8",
    ),
    Case("GPTQ without `quantization_config`", (stored(gptq),), "qweight|quanti|proj"),
    Case("GPTQ", (stored(gptq), told(quantization_config={"quant_method": "gptq", "bits": 4})), "quanti"),
    Case("AWQ", (stored(gptq), told(quantization_config={"quant_method": "awq", "bits": 4})), "quanti"),
    Case("weights that are whole numbers", (changed(UP, lambda tensor: tensor.to(torch.int64)),), UP),
    Case("a norm of truth values", (changed(NORM, lambda tensor: tensor > 1),), NORM),
    Case("NaN in a weight", (one_value(float("nan")),), r"layers\.1|layer 1", by="gradients"),
    Case("infinity in a weight", (one_value(float("inf")),), r"layers\.1|layer 1", by="gradients"),
    Case(
        "NaN in the embedding of a token that no text holds",
        (changed(EMBEDDING, lambda tensor: tensor.index_fill(0, torch.tensor([2]), float("nan"))),),
        "not finite",
        by="pruning",
    ),
    Case("a layer of zeros", (changed(r"layers\.1\..*proj", torch.zeros_like),)),
]
