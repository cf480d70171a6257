"""A tokenizer for the text steps."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

BOS = 1


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """A byte-level tokenizer that adds BOS by default, saved as a folder."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<unk>": 0, "<s>": BOS} | {letter: index + 2 for index, letter in enumerate(alphabet)}
    bytes_ = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=bytes_, bos_token="<s>", model_max_length=64).save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    return folder
