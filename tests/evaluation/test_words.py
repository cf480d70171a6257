"""What a model writes after prompts, against a naive loop without a cache."""

import pytest
import torch
from transformers import AutoTokenizer

from prunescope.config.sections import Words
from prunescope.evaluation.words import TOO_LARGE, go_on, prompts_of
from prunescope.models.loading import load_checkpoint, load_offloaded
from prunescope.pruning.checkpoint import write_checkpoint
from tiny import save_source, tiny_model, uneven_plan

CPU = torch.device("cpu")
PROMPTS = ("w5 w9 w33", "w40")


def naive(model, tokenizer, prompt, tokens, end=None):
    """One full pass per token, one prompt at a time."""
    ids = tokenizer(prompt)["input_ids"]
    begun = len(ids)
    while len(ids) < begun + tokens and (len(ids) == begun or ids[-1] != end):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return tokenizer.decode([token for token in ids[begun:] if token != end], skip_special_tokens=True)


@pytest.fixture
def folders(tmp_path):
    facts = save_source(tiny_model().float(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    return tmp_path / "source", tmp_path / "model"


def test_each_model_goes_on_with_its_most_likely_tokens(folders):
    words, tokenizer = prompts_of(Words(prompts=PROMPTS, tokens=7)), AutoTokenizer.from_pretrained(folders[0])
    for name, folder in zip(("baseline", "pruned"), folders, strict=True):
        model = load_checkpoint(folder, torch.float32, CPU)
        words = go_on(words, name, model, folder)
        assert words.texts[name] == [naive(model, tokenizer, prompt, 7, end=2) for prompt in PROMPTS]
    assert words.texts["baseline"] != words.texts["pruned"]
    assert not words.left_out


def test_a_text_ends_at_the_token_that_ends_texts(folders):
    model, tokenizer = load_checkpoint(folders[0], torch.float32, CPU), AutoTokenizer.from_pretrained(folders[0])
    long = naive(model, tokenizer, PROMPTS[0], 7).split()
    end = model.config.eos_token_id = int(long[3].removeprefix("w"))
    texts = go_on(prompts_of(Words(prompts=PROMPTS, tokens=7)), "baseline", model, folders[0]).texts["baseline"]
    assert texts == [naive(model, tokenizer, prompt, 7, end) for prompt in PROMPTS]
    assert len(texts[0].split()) <= 3 < len(texts[1].split())


def test_a_model_that_cannot_go_on_says_why(folders):
    words = prompts_of(Words(prompts=("w1", " ")))
    whole, read = load_checkpoint(folders[0], torch.float32, CPU), load_offloaded(folders[1], torch.float32, CPU)
    words = go_on(go_on(words, "baseline", whole, folders[0]), "pruned", read, folders[1])
    assert words.texts == {}
    assert words.left_out == {"baseline": "its tokenizer has no tokens of this model for ' '", "pruned": TOO_LARGE}


def test_without_prompts_no_model_is_asked():
    assert go_on(prompts_of(None), "baseline", None, "nowhere").texts == {}
