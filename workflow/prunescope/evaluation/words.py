"""What a model writes after a few prompts: no measure, but what a person looks at first."""

import logging
from itertools import takewhile
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
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in _write(model, tokenizer, prompts, words.tokens)]
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
def _write(model: Any, tokenizer: Any, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """Return what a model writes after each prompt, with the most likely token each time, all in one batch."""
    longest, ends = max(map(len, prompts)), _ends(tokenizer.eos_token_id, model.config.eos_token_id)
    padding = [longest - len(prompt) for prompt in prompts]
    fill = ends[0] if ends else 0
    rows = [[fill] * count + prompt for count, prompt in zip(padding, prompts, strict=True)]
    mask = [[0] * count + [1] * (longest - count) for count in padding]
    ids, mask = (torch.tensor(values, device=model.device) for values in (rows, mask))
    greedy = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=ends or None, pad_token_id=fill)
    written = model.generate(ids, attention_mask=mask, generation_config=greedy)[:, longest:]
    return [list(takewhile(lambda token: token not in ends, row)) for row in written.tolist()]


def _ends(*told: int | list[int] | None) -> list[int]:
    """Return the tokens that end a text, as the tokenizer and the configuration tell them."""
    return [end for ends in told for end in (ends if isinstance(ends, list) else [ends]) if end is not None]
