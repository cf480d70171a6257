"""Checkpoints: what the tensors in them are called."""

import torch

from inputs.case import Case, Edit
from inputs.editing import (
    EMBEDDING,
    HEAD,
    LAYERS,
    NORM,
    Tensors,
    added,
    dropped,
    made,
    renamed,
    stored,
    tied,
    told,
)


def head(factor: float) -> Edit:
    """Store a head beside the embedding that it is tied to."""
    return stored(lambda tensors: tensors | {HEAD: factor * tensors[EMBEDDING]})


def only_head(tensors: Tensors) -> Tensors:
    return {HEAD if name == EMBEDDING else name: value for name, value in tensors.items()}


def once_more(tensors: Tensors) -> Tensors:
    """Return the layers and one more of the same, as it is found where the configuration was edited."""
    last = {name: value for name, value in tensors.items() if f"layers.{LAYERS - 1}." in name}
    return tensors | {name.replace(f".{LAYERS - 1}.", f".{LAYERS}."): value for name, value in last.items()}


def fused(tensors: Tensors) -> Tensors:
    """Return query, key and value as one weight, as Phi-3, Baichuan and InternLM keep them."""
    joined: Tensors = {}
    for name, value in tensors.items():
        if "k_proj" in name or "v_proj" in name:
            continue
        if "q_proj" in name:
            parts = [tensors[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            name, value = name.replace("q_proj", "qkv_proj"), torch.cat(parts)
        joined[name] = value
    return joined


def lora(tensors: Tensors) -> Tensors:
    """Return weights as peft names them where an adapter was not merged."""
    wrapped: Tensors = {}
    for name, value in tensors.items():
        if "q_proj" in name:
            base = f"base_model.model.{name.removesuffix('weight')}"
            rows, columns = value.shape
            wrapped[f"{base}base_layer.weight"] = value
            wrapped[f"{base}lora_A.default.weight"] = torch.ones(2, columns)
            wrapped[f"{base}lora_B.default.weight"] = torch.ones(rows, 2)
        else:
            wrapped[f"base_model.model.{name}"] = value
    return wrapped


def inverse_frequencies(tensors: Tensors) -> Tensors:
    values = 1 / 500 ** (torch.arange(0, 10, 2) / 10)
    return tensors | {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": values for layer in range(LAYERS)}


CASES = [
    Case("tied, the head is the embedding again", (tied(), head(1.0))),
    Case("tied, without a head", (tied(),)),
    Case(
        "tied, the head differs from the embedding",
        (tied(), head(1.3)),
        f"{HEAD}.*tie_word_embeddings|tie_word_embeddings.*{HEAD}",
    ),
    Case("tied, only the head is there", (tied(), stored(only_head))),
    Case("tied, neither is there", (tied(), dropped("embed")), "embed_tokens"),
    Case("untied, the head equals the embedding", (stored(lambda t: t | {HEAD: t[EMBEDDING].clone()}),)),
    Case("untied, without a head", (dropped("lm_head"),), HEAD),
    Case("`_orig_mod.` before every name (torch.compile)", (renamed("^", "_orig_mod."),), "_orig_mod"),
    Case("`module.` before every name (DDP)", (renamed("^", "module."),), "module"),
    Case("`base_model.model.` before every name (peft)", (renamed("^", "base_model.model."),), "base_model"),
    Case("`language_model.` before every name (a vision model)", (renamed("^", "language_model."),), "language_model"),
    Case("no `model.` before the names, tied (an embedding model)", (tied(family="qwen3"), renamed("^model.", ""))),
    Case("no `model.` before the names, untied, without a head", (dropped("lm_head"), renamed("^model.", "")), HEAD),
    Case(
        "`transformer.h.` for `model.layers.`", (renamed("^model.layers.", "transformer.h."),), "transformer.h|layers"
    ),
    Case("an adapter that was not merged (`base_layer`, `lora_A`)", (stored(lora),), "lora|base_layer|base_model"),
    Case(
        "a classifier: `score`, no head", (dropped("lm_head"), added(score__weight=torch.ones(3, 24))), f"score|{HEAD}"
    ),
    Case("a reward head beside the head", (added(v_head__summary__weight=torch.ones(1, 24)),), "v_head"),
    Case("a vision tower beside the decoder", (added(vision_tower__weight=torch.ones(3, 24)),), "vision_tower"),
    Case(
        "more layers in the configuration than in the file",
        (told(num_hidden_layers=LAYERS + 1),),
        rf"layers\.{LAYERS}|num_hidden_layers",
    ),
    Case(
        "fewer layers in the configuration than in the file",
        (stored(once_more),),
        rf"layers\.{LAYERS}|num_hidden_layers",
    ),
    Case("a layer is missing", (dropped(r"layers\.1\."),), r"layers\.1\."),
    Case("a norm is missing", (dropped(NORM),), NORM),
    Case("biases that the configuration promises and the file lacks", (told(attention_bias=True),), "bias"),
    Case(
        "biases in the file that the configuration does not have",
        (made(attention_bias=True), told(attention_bias=False)),
        "bias",
    ),
    Case("biases in both", (made(attention_bias=True, mlp_bias=True),)),
    Case(
        "norms of queries and keys in a Llama configuration",
        (made(family="qwen3"), told(model_type="llama")),
        "[qk]_norm",
    ),
    Case("query, key and value in one weight", (stored(fused),), "qkv_proj|q_proj"),
    Case("experts beside a dense configuration", (renamed(r"mlp\.", "block_sparse_moe.experts.0."),), "expert|mlp"),
    Case("a name with and without `model.`", (added(embed_tokens__weight=torch.ones(61, 24)),), "embed_tokens"),
    Case("old `rotary_emb.inv_freq` buffers", (stored(inverse_frequencies),)),
    Case("an old `rotary_emb.inv_freq` buffer of the model", (added(model__rotary_emb__inv_freq=torch.ones(5)),)),
]
