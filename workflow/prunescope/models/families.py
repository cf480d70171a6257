"""The table of families: what differs between Llama-shaped architectures, a row each.

A new family is a row here, its classes in `models/pruned/modeling_pruned.py`, and its cases in the tests
(`tests/shapes.py`).
"""

from dataclasses import dataclass
from typing import Literal

from prunescope.artifacts.facts import BlockKind

StockHeads = Literal["any", "divisors", "all"]


@dataclass(frozen=True)
class BlockNames:
    """Names of the parts of an attention or MLP block.

    Attributes:
        module, norm: attributes of the layer: the block, and the norm of what enters it.
        inputs: linear modules of the block that read the normed residual stream: q, k and v, whose rows belong to
            query, key and value heads in order; or those of the MLP, whose row i belongs to channel i.
        output: the linear module of the block that writes to the residual stream; its columns belong to the groups.
    """

    module: str
    norm: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Family:
    """A family of decoders with GQA attention and a gated MLP, each behind a norm.

    Biases, norms of queries and keys, sliding windows and tied embeddings are read off the modules.

    Attributes:
        prefix: of the names of its classes in transformers: ``"Llama"`` of ``LlamaForCausalLM``.
        layers, final_norm, head: paths from the model: the list of decoder layers, and what follows them.
        attention, mlp: the blocks of a layer.
        stock_heads: how many query heads stock programs take where the head size stays: ``any`` number; ``divisors`` of
            the hidden size, which the configuration class of transformers 5 wants; ``all`` of them, because vLLM,
            llama.cpp and MLX take the head size to be hidden size / heads, whatever `head_dim` says.
    """

    prefix: str
    layers: str = "model.layers"
    attention: BlockNames = BlockNames("self_attn", "input_layernorm", ("q_proj", "k_proj", "v_proj"), "o_proj")
    mlp: BlockNames = BlockNames("mlp", "post_attention_layernorm", ("gate_proj", "up_proj"), "down_proj")
    final_norm: str = "model.norm"
    head: str = "lm_head"
    stock_heads: StockHeads = "any"

    def block(self, kind: BlockKind) -> BlockNames:
        """Return the names of a kind of block."""
        return self.attention if kind == "attention" else self.mlp


FAMILIES: dict[str, Family] = {
    "llama": Family("Llama", stock_heads="divisors"),
    "mistral": Family("Mistral"),
    "qwen2": Family("Qwen2", stock_heads="all"),
    "qwen3": Family("Qwen3"),
}
"""By `model_type` of the configuration; that of a pruned checkpoint has the prefix ``pruned_``."""


def family_name(model_type: str) -> str:
    """Return the family of a `model_type`, pruned or not, known or not."""
    return model_type.removeprefix("pruned_")
