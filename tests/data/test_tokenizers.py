"""Tokenizers as they lie in folders: ids that the model embeds, or one sentence."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from prunescope.data.tokenizer import load_encoder, load_tokenizer
from prunescope.errors import DataError

WORDS = {"<unk>": 0, "</s>": 1, "hello": 2, "world": 3}


@pytest.fixture
def folder(tmp_path):
    """A tokenizer of four words, beside the configuration of a model that embeds four."""
    words = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": len(WORDS)}))
    return tmp_path


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def with_code(folder):
    code = {"AutoTokenizer": ["own.OwnTokenizer", None]}
    edit(folder / "tokenizer_config.json", auto_map=code, tokenizer_class="OwnTokenizer")
    (folder / "own.py").write_text("open('ran', 'w')\nclass OwnTokenizer: ...\n")


def test_a_word_that_was_added_has_no_embedding(folder):
    assert load_encoder(folder)("hello world") == [2, 3]
    grown = AutoTokenizer.from_pretrained(folder)
    grown.add_tokens(["<|im_start|>"])
    grown.save_pretrained(folder)
    encode = load_encoder(folder)
    assert encode("hello world") == [2, 3]  # words that do not occur are no matter
    with pytest.raises(DataError, match=r"gives '<\|im_start\|>' the id 4, but .* for 0 to 3 only \(`vocab_size`"):
        encode("hello <|im_start|>")
    edit(folder / "config.json", vocab_size=5)
    assert load_encoder(folder)("hello <|im_start|>") == [2, 4]


@pytest.mark.parametrize("fast", [True, False])
def test_code_beside_a_tokenizer_is_neither_run_nor_asked_about(folder, monkeypatch, fast):
    with_code(folder)
    if not fast:
        (folder / "tokenizer.json").unlink()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    remedy = r"take `auto_map` out of" if fast else r"make a tokenizer\.json by"
    with pytest.raises(DataError, match=rf"made by the Python code own\.OwnTokenizer, which is not run\): {remedy}"):
        load_tokenizer(folder)
    assert not (folder / "ran").exists()


def gone(folder):
    (folder / "tokenizer.json").unlink()


def dangling(folder):
    gone(folder)
    (folder / "tokenizer.json").symlink_to("nowhere")


def a_folder(folder):
    gone(folder)
    (folder / "tokenizer.json").mkdir()


@pytest.mark.parametrize("change", [gone, dangling, a_folder])
def test_a_folder_without_a_tokenizer(folder, change):
    change(folder)
    with pytest.raises(DataError, match=r"it has none of tokenizer\.json, .*: copy the tokenizer of the model there"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", "version https://git-lfs.github.com/spec/v1\n"])
def test_a_damaged_tokenizer(folder, name, content):
    (folder / name).write_text(content)
    try:
        assert load_encoder(folder)("hello") in ([2], [])
    except DataError as error:
        assert f"no tokenizer could be loaded from '{folder}' (" in str(error)
        assert "\n" not in str(error)
    else:
        assert (name, content) == ("tokenizer_config.json", "{}")


def test_a_tokenizer_that_needs_a_package(folder, monkeypatch):
    gone(folder)
    (folder / "tokenizer.model").write_bytes(b"x")

    def lacks(*_, **__):
        raise ImportError("LlamaTokenizer requires the SentencePiece library\nbut it was not found")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lacks)
    with pytest.raises(DataError, match=r"SentencePiece library\): make a tokenizer\.json by .*such as sentencepiece$"):
        load_tokenizer(folder)


@pytest.mark.parametrize("changes", [{}, {"normalizer": {"type": "Replace", "pattern": {"Regex": "."}, "content": ""}}])
def test_a_tokenizer_that_knows_nothing_of_a_text(folder, changes):
    edit(folder / "tokenizer.json", **changes)
    text = "bonjour monde " * 10 if not changes else "hello world " * 10
    encode = load_encoder(folder)
    with pytest.raises(DataError, match=r"has no token for any of the first 1\d\d\d characters of the text: put"):
        for _ in range(10):
            encode(text)


def test_a_strange_beginning_is_no_unknown_text(folder):
    encode = load_encoder(folder)
    encode("bonjour " * 100)
    encode("hello")
    encode("bonjour " * 1000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]),
    st.integers(0, 5000),
    st.binary(max_size=4) | st.just(b'"'),
)
def test_any_damage_is_tokens_or_a_sentence(folder, name, place, damage):
    file = folder / name
    whole = file.read_bytes() if file.exists() else b"{}"
    place %= len(whole)
    file.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    try:
        load_encoder(folder)("hello world")
    except DataError as error:
        assert "\n" not in str(error)
    finally:
        file.write_bytes(whole)


def test_a_tokenizer_that_fails_only_on_a_text(folder):
    edit(folder / "tokenizer_config.json", model_max_length="4")
    encode = load_encoder(folder)
    with pytest.raises(DataError, match=r"fails on a text \(TypeError: .*\): copy the tokenizer"):
        encode("hello world")
