"""The tokenizer of a pruned checkpoint: transformers loads the one that it loads beside the parent."""

import json

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from prunescope.pruning.checkpoint import write_checkpoint
from tiny import save_source, tiny_model, uneven_plan

TEXT = "hello there 12345 world"


def three_digits(folder):
    """Save a tokenizer of bytes that, unlike Qwen's, takes digits three at a time."""
    bytes_ = {letter: number for number, letter in enumerate(["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(bytes_ | {"12": 257, "123": 258}, [("1", "2"), ("12", "3")]))
    split = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("name", ["LlamaTokenizerFast", "PreTrainedTokenizerFast", "Qwen2Tokenizer", None])
def test_a_pruned_model_reads_the_tokens_of_its_parent(tmp_path, family, name):
    """By the type of a model transformers overrules what the files say, and it knows none of a pruned one."""
    source = tmp_path / "source"
    facts = save_source(tiny_model(family), source)
    three_digits(source)
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name} if name else {}))
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    parent, pruned = (AutoTokenizer.from_pretrained(folder) for folder in (source, tmp_path / "model"))
    assert pruned(TEXT)["input_ids"] == parent(TEXT)["input_ids"]
    assert type(pruned) is type(parent)


def test_copies_of_read_only_files_can_be_replaced(tmp_path):
    source = tmp_path / "source"
    facts = save_source(tiny_model(), source)
    templates = source / "additional_chat_templates"
    templates.mkdir()
    (templates / "tools.jinja").write_text("{{ messages }}")
    for path in (*source.rglob("*.*"), templates):
        path.chmod(0o555 if path.is_dir() else 0o444)
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    templates.chmod(0o755)
    assert (tmp_path / "model/additional_chat_templates/tools.jinja").read_text() == "{{ messages }}"
    assert all(path.stat().st_mode & 0o200 for path in (tmp_path / "model").rglob("*"))
