"""Long documents of local files are divided, so that every split has its part; short ones keep their split."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prunescope.config.sections import DatasetSource
from prunescope.data.division import SHORTEST, divide, longest_part
from prunescope.data.documents import digest, split_of
from prunescope.data.reading import Division, division, read_documents

PURPOSES = ("calibration", "validation", "test")
WORDS = ("the", "model", "reads", "a", "text", "and", "keeps", "some", "of", "it", "for", "later")


def paragraph(seed: int, words: int = 60) -> str:
    return " ".join(WORDS[(seed * 7 + place * (seed % 5 + 1)) % len(WORDS)] for place in range(words)) + f" {seed}."


def splits(pattern) -> dict[str, list[str]]:
    source = DatasetSource(local=str(pattern))
    return {purpose: [document.text for document in read_documents(source, purpose)] for purpose in PURPOSES}


paragraphs = st.lists(st.text("ab c.\n\r\t。!”", max_size=80) | st.text(max_size=40), max_size=20).map("\n\n".join)


@given(paragraphs, st.integers(1, 60))
@example("no border" * 40, 7)
@example("\n" * 50, 3)
@example("a\r\n\r\nb", 3)
def test_parts_are_the_document_and_none_is_too_long(text, limit):
    parts = divide(text, limit)
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)
    # Two parts that would fit into one are not torn apart.
    assert all(len(one) + len(two) > limit for one, two in pairwise(parts))
    assert parts == divide(text, limit)


def test_parts_end_at_the_best_border_that_there_is():
    assert divide("One two.\n\nThree four.\nFive.", 12) == ["One two.\n\n", "Three four.\n", "Five."]
    assert divide("One two. Three four. Five", 12) == ["One two. ", "Three four. ", "Five"]
    assert divide("一二三。四五六。七", 5) == ["一二三。", "四五六。七"]
    assert divide("one two three", 9) == ["one two ", "three"]
    assert divide("abcdef", 4) == ["abcd", "ef"]


def write_book(folder):
    (folder / "book.txt").write_text("\n\n".join(map(paragraph, range(400))))


def write_ten_long_documents(folder):
    for number in range(10):
        text = "\n\n".join(paragraph(number * 50 + place) for place in range(50))
        (folder / f"{number}.txt").write_text(text)


def write_identical_documents(folder):
    text = "\n\n".join(map(paragraph, range(100)))
    (folder / "a.jsonl").write_text("\n".join([json.dumps({"text": text})] * 61))


@pytest.mark.parametrize(
    ("write", "divided"), [(write_book, 1), (write_ten_long_documents, 10), (write_identical_documents, 1)]
)
def test_texts_of_few_documents_have_all_splits(tmp_path, write, divided):
    write(tmp_path)
    found = splits(tmp_path / "*")
    length = sum(len(text) for texts in found.values() for text in texts)
    shares = {purpose: sum(map(len, texts)) / length for purpose, texts in found.items()}
    assert shares["calibration"] > 0.5 and shares["test"] > 0.05 and shares["validation"] > 0.02
    assert division(DatasetSource(local=f"{tmp_path}/*")).divided == divided
    whole = [text for texts in found.values() for text in texts]
    assert len(whole) == len(set(whole))  # nothing serves two purposes
    wanted = {paragraph for file in tmp_path.iterdir() for paragraph in json_or_text(file).split("\n\n")}
    assert {paragraph for text in whole for paragraph in text.split("\n\n")} == wanted


def json_or_text(file) -> str:
    text = file.read_text()
    return json.loads(text.splitlines()[0])["text"] if file.suffix == ".jsonl" else text


def test_short_documents_are_whole_and_keep_their_split(tmp_path):
    short = [paragraph(number) for number in range(300)]
    lines = [json.dumps({"text": text}) for text in short]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    alone = splits(tmp_path / "*")
    assert {purpose: set(texts) for purpose, texts in alone.items()} == {
        purpose: {text for text in short if split_of(digest(text)) == purpose} for purpose in PURPOSES
    }
    write_book(tmp_path)
    beside = splits(tmp_path / "*")
    assert all(set(alone[purpose]) <= set(beside[purpose]) for purpose in PURPOSES)


def test_the_order_of_files_does_not_matter(tmp_path):
    texts = ["\n\n".join(paragraph(book * 100 + place) for place in range(30)) for book in range(4)]
    for name, order in (("one", texts), ("two", texts[::-1])):
        (tmp_path / name).mkdir()
        for number, text in enumerate(order):
            (tmp_path / name / f"{number}.txt").write_text(text)
    one, two = (splits(tmp_path / name / "*") for name in ("one", "two"))
    assert {purpose: set(found) for purpose, found in one.items()} == {
        purpose: set(found) for purpose, found in two.items()
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(50, 90), st.integers(1, 60))
def test_fifty_paragraphs_have_calibration_and_test(tmp_path, seed, count, files):
    folder = tmp_path / f"{seed}-{count}-{files}"
    folder.mkdir(exist_ok=True)
    written = [paragraph(seed + number) for number in range(count)]
    for number in range(min(files, count)):
        (folder / f"{number}.txt").write_text("\n\n".join(written[number::files]))
    found = splits(folder / "*")
    assert found["calibration"] and found["test"]


def test_the_limit_is_a_share_of_the_different_documents(tmp_path):
    assert longest_part(100_000) == 2000
    assert longest_part(0) == SHORTEST
    text = "\n\n".join(map(paragraph, range(100)))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(text)
    assert division(DatasetSource(local=f"{tmp_path}/*")) == Division(longest_part(len(text)), 1)
    (tmp_path / "b.txt").write_text("")  # measured again
    (tmp_path / "c.txt").write_text(paragraph(1))
    assert division(DatasetSource(local=f"{tmp_path}/*")).limit == longest_part(len(text) + len(paragraph(1)))
