"""Tiny random models of uneven shapes, and their facts."""

from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.models.adapter import adapter_for
from prunescope.models.families import FAMILIES
from prunescope.models.stock import stock_groups

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
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        "initializer_range": 0.3,
        "sliding_window": None,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | changes
    config = getattr(transformers, f"{FAMILIES[family].prefix}Config")(**settings)
    torch.manual_seed(0)
    config._attn_implementation = "sdpa"
    architecture = getattr(transformers, f"{FAMILIES[family].prefix}ForCausalLM")
    model = architecture(config).double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
        if name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
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
        stock_groups=stock_groups(model.config.to_dict()),
    )


def tiny_tokens(samples: int = 3, length: int = 12) -> torch.Tensor:
    """Return random token windows."""
    return torch.randint(3, VOCABULARY, (samples, length), generator=torch.Generator().manual_seed(1))


def uneven_plan(facts: ModelFacts, seed: int = 0) -> PruningPlan:
    """Layer 0 without attention, the last without MLP, layer 1 gone altogether, the rest cut at random."""
    random = np.random.default_rng(seed)
    last = facts.layers - 1
    gone = {(0, "attention"), (1, "attention"), (1, "mlp"), (last, "mlp")}
    plans = []
    for block in facts.blocks:
        count = block.groups if (block.layer, block.block) in gone else random.integers(0, block.groups)
        removed = np.sort(random.choice(block.groups, size=count, replace=False))
        plans.append(BlockPlan(block, removed.astype(np.int64)))
    return PruningPlan(facts.name, tuple(plans))


def even_plan(facts: ModelFacts, seed: int = 0) -> PruningPlan:
    """Every layer loses eight channels and, where a stock model can, GQA groups; which ones is random."""
    random = np.random.default_rng(seed)
    kept = ([0, *facts.stock_groups])[-2] or facts.stock_groups[-1]
    plans = []
    for block in facts.blocks:
        count = block.groups - kept if block.block == "attention" else 8
        plans.append(BlockPlan(block, np.sort(random.choice(block.groups, size=count, replace=False))))
    return PruningPlan(facts.name, tuple(plans))


def save_source(model: PreTrainedModel, folder: Path) -> ModelFacts:
    """Save a model and a tokenizer of one word per token, and return the facts."""
    model.save_pretrained(folder)
    words = {f"w{i}": i for i in range(model.config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    return tiny_facts(model, folder)


@torch.no_grad()
def mask_model(model: PreTrainedModel, plan: PruningPlan) -> None:
    """Zero, in place, what a plan removes: the reference that the pruned model must equal."""
    adapter = adapter_for(model)
    for block in adapter.blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        for grouped in block.weights:
            if grouped.dim == 1:
                weights = adapter.parameters[grouped.name]
                weights.view(weights.shape[0], -1, grouped.width)[:, block_plan.removed] = 0
        if block_plan.whole:
            for name in block.whole:
                adapter.parameters[name].zero_()
