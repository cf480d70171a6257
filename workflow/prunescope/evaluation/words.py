"""What a model writes after a few prompts: no measure, but what a person looks at first."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from prunescope.artifacts.continuations import Continuations
from prunescope.config.sections import Words
from prunescope.data.tokenizer import load_tokenizer
from prunescope.models.offload import offloaded_layers

log = logging.getLogger(__name__)

TOO_LARGE = "it does not fit into the memory of the device, so that each token would cost a reading of all its layers"


def prompts_of(told: Words | None) -> Continuations:
    """Return the prompts that every model is given; none where `told` is None."""
    return Continuations(
        prompts=list(told.prompts) if told else [], tokens=told.tokens if told else 0, texts={}, left_out={}
    )


def go_on(words: Continuations, name: str, model: nn.Module, checkpoint: Path | str) -> Continuations:
    """Return `words` with what one more model writes, or why it does not.

    Args:
        name: of the model. checkpoint: the folder of its tokenizer.
    """
    if not words.prompts:
        return words
    tokenizer = load_tokenizer(checkpoint)
    # As the tokenizer begins a text: with BOS, or without.
    prompts = [tokenizer(prompt)["input_ids"] for prompt in words.prompts]
    if reason := _hindrance(words.prompts, prompts, model):
        log.info("evaluation.words is left out: %s", reason)
        return words.model_copy(update={"left_out": words.left_out | {name: reason}})
    texts = [_write(model, tokenizer, ids, words.tokens) for ids in prompts]
    for prompt, text in zip(words.prompts, texts, strict=True):
        log.info("%s ... %s", prompt, " ".join(text.split()))
    return words.model_copy(update={"texts": words.texts | {name: texts}})


def _hindrance(prompts: list[str], ids: list[list[int]], model: nn.Module) -> str | None:
    """Return why a model cannot go on; None where it can."""
    if offloaded_layers(model):
        return TOO_LARGE
    rows = len(model.get_input_embeddings().weight)
    unknown = [prompt for prompt, found in zip(prompts, ids, strict=True) if not found or max(found) >= rows]
    return f"its tokenizer has no tokens of this model for '{unknown[0]}'" if unknown else None


@torch.no_grad()
def _write(model: Any, tokenizer: Any, prompt: list[int], tokens: int) -> str:
    """Return what a model writes after a prompt, with the most likely token each time."""
    ids = torch.tensor([prompt], device=model.device)
    end = tokenizer.eos_token_id
    greedy = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=end, pad_token_id=end)
    written = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=greedy)
    return tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True)
