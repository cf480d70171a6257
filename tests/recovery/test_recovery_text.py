"""What the pruned model is trained on: windows of a text, or responses of conversations."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jobs import facts_of, job
from prunescope.artifacts.folders import RecoveryTextFolder
from prunescope.config.sections import DatasetSource
from prunescope.data.conversations import parts, read_conversations
from prunescope.data.reading import read_documents
from prunescope.errors import ConfigError, DataError
from prunescope.recovery.text import draw_recovery_text
from prunescope.steps.texts import RecoveryTextSpec, TextSpec

WORDS = ["<unk>", "</s>", "<|user|>", "<|bot|>", "what", "is", "a", "cat", "dog", "an", "animal", "yes", "no", "well"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|user|> ' if m.role == 'user' else '<|bot|> ' }}{{ m.content }}"
    "{{ ' </s> ' if m.role == 'assistant' else ' ' }}{% endfor %}{% if add_generation_prompt %}<|bot|> {% endif %}"
)
PAIRS = {"prompt": "q", "response": "a"}


def tokenizer(folder, template=None):
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "<unk>", "eos_token": "</s>", "additional_special_tokens": ["<|user|>", "<|bot|>"]}
    made = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    made.chat_template = template
    made.save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    return folder


def jsonl(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def spec_of(source, seq_len=16, samples=100, name="talk"):
    texts = {name: TextSpec(source=source)}
    return RecoveryTextSpec(dataset=name, texts=texts, samples=samples, seq_len=seq_len, seed=0)


def write(tmp_path, source, template=None, **changes):
    facts = facts_of(tokenizer(tmp_path / "tokenizer", template))
    draw_recovery_text(job(spec_of(source, **changes), tmp_path / "text", model=facts))
    written = RecoveryTextFolder(tmp_path / "text")
    return {name: tensor.numpy() for name, tensor in written.samples.read().items()}, written.manifest.read()


def asked_in_calibration(source):
    return [c.messages[0]["content"] for c in read_conversations(source, "calibration")]


def ids(text):
    return [WORDS.index(word) for word in text.split()]


def test_only_the_response_is_learned(tmp_path):
    rows = [{"q": f"what is a {animal}", "a": "an animal"} for animal in ("cat", "dog", "well", "no", "yes")]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction=PAIRS)
    found, manifest = write(tmp_path, source)
    kept = asked_in_calibration(source)
    assert 0 < len(kept) <= 5
    assert len(found["input_ids"]) == manifest.documents == len(kept)
    for tokens, labels in zip(found["input_ids"], found["labels"], strict=True):
        question = [WORDS[token] for token in tokens[:4]]
        assert " ".join(question) in kept
        # four words asked, two answered, the end: seven tokens, three of them learned
        assert tokens.tolist() == [*tokens[:4], *ids("an animal </s>"), *[0] * 9]
        assert labels.tolist() == [-100] * 4 + ids("an animal </s>") + [-100] * 9
    assert manifest.tokens == 7 * len(kept)
    assert manifest.learned_tokens == 3 * len(kept)


def test_a_chat_template_writes_every_turn_and_answers_are_learned(tmp_path):
    said = [("user", "what is a cat"), ("assistant", "an animal"), ("user", "a dog"), ("assistant", "yes")]
    messages = [{"role": role, "content": content} for role, content in said]
    rows = [{"messages": messages, "id": 1}]
    # A single conversation falls into one of the splits: rows are added until one is for calibration.
    while True:
        source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction={"messages": "messages"})
        if list(read_conversations(source, "calibration")):
            break
        rows.append({"messages": [*messages, {"role": "user", "content": "well " * len(rows)}]})
    found, _ = write(tmp_path, source, TEMPLATE, seq_len=20)
    asked, answered = "<|user|> what is a cat <|bot|>", "an animal </s>"
    then, last = "<|user|> a dog <|bot|>", "yes </s>"
    whole = ids(f"{asked} {answered} {then} {last}")
    assert found["input_ids"][0].tolist() == whole + [0] * 5
    wanted = [-100] * 6 + ids(answered) + [-100] * 4 + ids(last)
    assert found["labels"][0].tolist() == wanted + [-100] * 5


def test_a_template_that_rewrites_the_past_is_refused():
    class Rewriting:
        chat_template = "not empty"

        def apply_chat_template(self, messages, **_):
            return f"{len(messages)} messages"

    with pytest.raises(DataError, match="writes the beginning of a conversation otherwise once it goes on"):
        parts([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], Rewriting())


REFUSING = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "roles", "said"),
    [
        (REFUSING, ["system", "user", "assistant"], r"the turns system, user \(System role not supported\)"),
        (REFUSING, ["user", "user", "assistant"], r"the turns user, user \(Roles must alternate\)"),
        ("{{ messages[9].content.x }}", ["user", "assistant"], "the turns user"),
        ("{{ messages + 1 }}", ["user", "assistant"], "the turns user"),
        ("{% if %}", ["user", "assistant"], "the turns user"),
    ],
)
def test_a_template_that_refuses_a_conversation_names_its_line(tmp_path, template, roles, said):
    rows = [{"messages": [{"role": role, "content": f"{n}"} for role in roles]} for n in range(30)]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction={"messages": "messages"})
    place = rf"dataset 'talk': {tmp_path}/talk\.jsonl, line \d+"
    with pytest.raises(DataError, match=rf"{place}: the tokenizer's chat template refuses {said}"):
        write(tmp_path, source, template)


def test_a_response_that_answers_nothing(tmp_path):
    rows = [{"messages": [{"role": "assistant", "content": f"{n}"}]} for n in range(30)]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction={"messages": "messages"})
    with pytest.raises(DataError, match=r"talk\.jsonl, line \d+: the conversation begins with a response: put"):
        write(tmp_path, source, TEMPLATE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (3, r"message 1 holds a number \(3\), not text: write its content as text"),
        ([{"type": "image_url", "image_url": {}}], "message 1 holds a part of the type 'image_url', not text"),
        ([{"type": "text", "text": 5}], r"message 1 holds a number \(5\), not text"),
        (["what"], "message 1 holds a part without a type, not text"),
        ("\ud83d", r"message 1 holds half of a character \(\\ud83d at position 0\)"),
    ],
)
def test_contents_that_are_no_text(tmp_path, content, said):
    good = {"messages": [{"role": "user", "content": "what"}, {"role": "assistant", "content": "yes"}]}
    bad = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "yes"}]}
    source = DatasetSource(local=jsonl(tmp_path / "a.jsonl", [good, bad]), instruction={"messages": "messages"})
    with pytest.raises(DataError, match=rf"a\.jsonl, line 2: column 'messages': {said}"):
        asked_in_calibration(source)


def test_parts_of_text_are_joined_and_an_answer_of_none_is_empty(tmp_path):
    asked = [{"type": "text", "text": "what "}, {"type": "text", "text": "is"}]
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": None}] * 2}
        | {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": [{"text": f"{n}"}]}]}
        for n in range(20)
    ]
    source = DatasetSource(local=jsonl(tmp_path / "a.jsonl", rows), instruction={"messages": "messages"})
    assert set(asked_in_calibration(source)) == {"what is"}


@pytest.mark.parametrize("role", ["gpt", 1, None, ["user"]])
def test_roles_of_other_formats_are_a_sentence(tmp_path, role):
    rows = [{"messages": [{"role": role, "content": "what"}]}]
    source = DatasetSource(local=jsonl(tmp_path / "a.jsonl", rows), instruction={"messages": "messages"})
    with pytest.raises(DataError, match=r"line 1: column 'messages': message 1 has the role .*; allowed: system, dev"):
        asked_in_calibration(source)


def test_a_number_for_an_answer_is_a_sentence(tmp_path):
    source = DatasetSource(local=jsonl(tmp_path / "a.jsonl", [{"q": "what", "a": 3}]), instruction=PAIRS)
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: column 'a' holds a number \(3\), not text"):
        asked_in_calibration(source)


def test_few_conversations_tell_where_they_are(tmp_path):
    rows = [{"q": f"what is {n}", "a": "yes"} for n in range(40)]
    source = DatasetSource(local=jsonl(tmp_path / "a.jsonl", rows), instruction=PAIRS)
    tests = {talk.messages[0]["content"] for talk in read_conversations(source, "test")}
    jsonl(tmp_path / "a.jsonl", [row for row in rows if row["q"] in tests])
    said = rf"'talk': no conversation with a response .*calibration 0, validation 0, test {len(tests)}\): give more"
    with pytest.raises(DataError, match=said):
        write(tmp_path, source)


def test_ids_without_an_embedding_are_said_of_conversations_too(tmp_path):
    source = DatasetSource(
        local=jsonl(tmp_path / "a.jsonl", [{"q": f"{n}", "a": "well"} for n in range(30)]), instruction=PAIRS
    )
    facts = facts_of(tokenizer(tmp_path / "tokenizer"))
    (tmp_path / "tokenizer/config.json").write_text('{"vocab_size": 13}')
    with pytest.raises(DataError, match="gives 'well' the id 13, but the model has embeddings for 0 to 12 only"):
        draw_recovery_text(job(spec_of(source), tmp_path / "text", model=facts))


def test_long_conversations_are_cut_and_those_without_a_response_left_out(tmp_path, caplog):
    rows = [{"q": "what " * 20 + f"{n}", "a": "yes"} for n in range(9)]
    rows += [{"q": f"{n} a", "a": "yes " * 30} for n in range(9)]
    rows += [{"q": f"{n} a", "a": ""} for n in range(9)]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction=PAIRS)
    found, _ = write(tmp_path, source, seq_len=8)
    assert (found["labels"][:, 2:] == WORDS.index("yes")).all()
    assert (found["labels"][:, :2] == -100).all()
    assert "conversations left out: no response within the first 8 tokens" in caplog.text
    source = DatasetSource(local=jsonl(tmp_path / "long.jsonl", rows[:9]), instruction=PAIRS)
    with pytest.raises(DataError, match=r"'talk': no conversation begins its response within 8 tokens: raise"):
        write(tmp_path, source, seq_len=8)


def test_the_budget_ends_the_reading(tmp_path):
    rows = [{"q": f"a {n}", "a": "yes"} for n in range(60)]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction=PAIRS)
    _, manifest = write(tmp_path, source, samples=1, seq_len=16)
    assert manifest.documents == 4  # of four tokens each


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": "hello"}, "column 'messages' must hold lists of"),
        ({"messages": [{"from": "user", "value": "hello"}]}, "column 'messages' must hold lists of"),
        ({"chat": []}, "no column 'messages'.*of instruction data: the columns in `instruction`"),
    ],
)
def test_other_layouts_are_a_sentence(tmp_path, row, said):
    rows = [row | {"messages": row["messages"] * n} if "messages" in row else row for n in range(1, 9)]
    source = DatasetSource(local=jsonl(tmp_path / "talk.jsonl", rows), instruction={"messages": "messages"})
    with pytest.raises(DataError, match=said):
        list(read_conversations(source, "calibration"))


def test_plain_text_is_no_instruction_data(tmp_path):
    (tmp_path / "a.txt").write_text("what is a cat")
    with pytest.raises(DataError, match=r"a\.txt holds no instruction data"):
        list(read_conversations(DatasetSource(local=f"{tmp_path}/*", instruction=PAIRS), "calibration"))


def test_a_short_text_gives_the_windows_that_it_fills(tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(" ".join(WORDS[4 + (number + i * i) % 10] for i in range(12)))
    source = DatasetSource(local=f"{tmp_path}/*.txt")
    found, manifest = write(tmp_path, source, samples=1000, seq_len=8)
    assert 8 < len(found["input_ids"]) < 45
    np.testing.assert_array_equal(found["input_ids"], found["labels"])
    assert manifest.learned_tokens == manifest.tokens == found["input_ids"].size
    trained = set(manifest.texts["talk"].document_ids)
    assert trained == {document.id for document in read_documents(source, "calibration")}
    assert not trained & {document.id for document in read_documents(source, "test")}
    with pytest.raises(DataError, match=r"recovery\.seq_len"):
        write(tmp_path, source, seq_len=1000)


def test_a_window_longer_than_the_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"recovery\.seq_len = 16: longer than the model's window"):
        facts = facts_of(tokenizer(tmp_path / "tokenizer"), context=8)
        draw_recovery_text(job(spec_of(DatasetSource(local="x")), tmp_path, model=facts))
