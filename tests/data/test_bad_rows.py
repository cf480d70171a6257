"""Rows as people have them on their disks: documents of text, or one sentence with file and line."""

import bz2
import gzip
import json
import lzma
import os

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow.parquet import write_table

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import matching_files
from prunescope.data.conversations import read_conversations
from prunescope.data.documents import as_text
from prunescope.data.reading import read_documents
from prunescope.errors import DataError, PrunescopeError
from prunescope.files import LFS_POINTER

LFS = LFS_POINTER + b".github.com/spec/v1\noid sha256:4d7a\nsize 498\n"

PURPOSES = ("calibration", "validation", "test")
GOOD = [{"text": f"good {number}"} for number in range(60)]
HALF = "\ud83d"

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def texts(pattern, **settings) -> list[str]:
    source = DatasetSource(local=str(pattern), **settings)
    return [document.text for purpose in PURPOSES for document in read_documents(source, purpose)]


def copied(folder, streaming=True) -> list[str]:
    source = DatasetSource(hub="a/b", path=str(folder), files={"train": "train.*"}, streaming=streaming)
    return [document.text for document in read_documents(source, "calibration")]


def jsonl(file, rows):
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


VALUES = [
    ({"text": 3.5}, "holds a number \\(3.5\\), not text"),
    ({"text": 10**400}, "holds a large number, not text"),
    ({"text": ["a"]}, "holds a list, not text"),
    ({"text": {"a": 1}}, "holds an object, not text"),
    ({"text": True}, "holds true, not text"),
]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        *((row, f", line 21: column 'text' {said}: write text there") for row, said in VALUES),
        ('{"text": NaN}', r", line 21: column 'text' holds a number \(nan\)"),
        ({"text": HALF}, r", line 21: column 'text' holds half of a character \(\\ud83d at position 0\)"),
        ({"n": 1}, ", line 21 has no column 'text': every row needs it"),
        ({}, ", line 21 has no column 'text': every row needs it"),
        ('"abc"', r" could not be read \(line 21 is text, not an object\): write one object per line"),
        ("[1]", r" could not be read \(line 21 is a list, not an object\)"),
        ('{"text": "a', r" could not be read \(line 21 is not JSON: Unterminated string, column 10\): repair it"),
        ("[" * 100_000, r" could not be read \(line 21 is nested too deeply"),
        ('{"text": ' + "1" * 5000 + "}", r" could not be read \(line 21 is not JSON: a number of thousands of digits"),
    ],
)
def test_a_line_that_holds_no_text(tmp_path, row, said):
    file = jsonl(tmp_path / "a.jsonl", [*GOOD[:20], row, *GOOD[20:]])
    with pytest.raises(DataError, match=rf"{file}{said}"):
        texts(file)


@pytest.mark.parametrize(("row", "said"), VALUES[:1] + VALUES[2:])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_row_of_a_copy_that_holds_no_text(tmp_path, row, said, streaming):
    jsonl(tmp_path / "c4/train.jsonl", [*GOOD[:20], row, *GOOD[20:]])
    with pytest.raises(DataError, match=rf"row 20 of split 'train' of '.*c4': column 'text' {said}"):
        copied(tmp_path / "c4", streaming)


@pytest.mark.parametrize("first", [[], GOOD[:3]])
@pytest.mark.parametrize(("name", "opener"), [("train.jsonl", open), ("train.json.gz", gzip.open)])
def test_a_line_of_null_never_reaches_the_library(tmp_path, first, name, opener):
    """Where a block begins with it, pyarrow's reader ends the process."""
    (tmp_path / "c4").mkdir()
    with opener(tmp_path / "c4" / name, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in [*first, None, *GOOD])
    with pytest.raises(DataError, match=rf"could not be read: line {len(first) + 1} of .*{name} is null, not an obj"):
        copied(tmp_path / "c4")


def test_rows_of_a_copy_that_lack_the_column_are_left_out_and_told(tmp_path, caplog):
    jsonl(tmp_path / "c4/train.jsonl", [*GOOD, {"n": 1}])
    assert copied(tmp_path / "c4") == [row["text"] for row in GOOD]
    assert "1 of 61 rows of split 'train' of" in caplog.text


@pytest.mark.parametrize("row", ['"abc"', '{"text": "\\ud83d"}', "[" * 100_000, '{"text": "a'])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_damaged_line_of_a_copy(tmp_path, row, streaming):
    jsonl(tmp_path / "c4/train.jsonl", [*GOOD[:20], row, *GOOD[20:]])
    with pytest.raises(DataError, match=r"split 'train' of '.*c4' could not be read \(.*\): check"):
        copied(tmp_path / "c4", streaming)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([b"a", b"b"]), "row 0: column 'text' holds bytes, not text"),
        (pa.array([None, 4]), r"row 1: column 'text' holds a number \(4\), not text"),
        (pa.array([{"a": "b"}, None]), "row 0: column 'text' holds an object, not text"),
        (pa.array([["a"], None]), "row 0: column 'text' holds a list, not text"),
        (pa.array([1, 2], pa.duration("ms")), "row 0: column 'text' holds a value of the type timedelta"),
        (pa.array([2**62], pa.timestamp("us")), r"could not be read \(date value out of range\)"),
        (
            pa.Array.from_buffers(
                pa.string(), 1, [None, pa.py_buffer(bytes([0] * 4 + [2] + [0] * 3)), pa.py_buffer(b"\xff\xfe")]
            ),
            r"could not be read \('utf-8' codec can't decode",
        ),
    ],
)
def test_columns_that_hold_no_text(tmp_path, column, said):
    write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"a\.parquet,? {said}"):
        texts(tmp_path / "a.parquet")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_every_form_of_text_in_parquet_is_read(tmp_path, kind):
    write_table(pa.table({"text": pa.array(["a", None, "", "b"], kind)}), tmp_path / "A.PARQUET")
    assert sorted(texts(tmp_path / "*")) == ["a", "b"]


def test_a_truncated_parquet_file(tmp_path):
    write_table(pa.table({"text": ["a"] * 100}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for damaged in (content[:-20], content[:10] + b"\xff" * 30 + content[40:], b""):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.parquet could not be read .*: repair it") as caught:
            texts(tmp_path / "a.parquet")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "hello".encode("utf-16"), r"it is UTF-16\): save it as UTF-8"),
        ("a.txt", "hello".encode("utf-16-le"), "it holds NUL bytes, as UTF-16 and binary files do"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16-le"), "line 1 holds NUL bytes, as UTF-16 and binary files do"),
        ("a.txt", LFS, r"it is a pointer of Git LFS, not the text\): run `git lfs pull`"),
        ("a.jsonl", LFS, r"it is a pointer of Git LFS, not the text\): run `git lfs pull`"),
        ("a.txt", b"caf\xe9", "it is not UTF-8: byte 0xe9 at position 3"),
        ("a.jsonl", '{"text": "a"}'.encode("utf-16"), "it is UTF-16"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n', "line 2 is not UTF-8: byte 0xe9 at position 13"),
        ("a.jsonl", json.dumps(GOOD).encode(), r"line 1 is a list, not an object\): write one object per line.*jq"),
        ("a.jsonl", json.dumps(GOOD, indent=1).encode(), r"line 1 is not JSON: .*\): write one object per line"),
    ],
)
def test_files_of_another_encoding_or_form(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} could not be read \({said}"):
        texts(tmp_path / name)


def test_marks_suffixes_and_line_ends_of_other_systems_are_read(tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "A.TXT").write_bytes(mark + b"one\r\ntwo")
    lines = [json.dumps(row).encode() for row in ({"text": "three"}, {"text": "four"})]
    (tmp_path / "B.JsonL").write_bytes(mark + b"\r\n".join([*lines, b"", mark + lines[0]]))
    assert sorted(texts(tmp_path / "*")) == ["four", "one\ntwo", "three"]


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    file = jsonl(tmp_path / "a.jsonl", GOOD)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(file))

    source = DatasetSource(local=str(file))
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match=r"a\.jsonl could not be read \(Permission denied\)"):
        list(read_documents(source, "test"))


@pytest.mark.parametrize(("suffix", "opener"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_truncated_archive_never_reaches_the_library(tmp_path, suffix, opener, streaming):
    file = tmp_path / f"c4/train.json{suffix}"
    file.parent.mkdir()
    with opener(file, "wt") as lines:
        lines.writelines(json.dumps({"text": os.urandom(20).hex()}) + "\n" for _ in range(1000))
    content = file.read_bytes()
    damaged = [content[: len(content) // 2], content[:-4], b"version https://git-lfs.github.com/spec/v1\n"]
    for each in damaged:
        file.write_bytes(each)
        with pytest.raises(DataError, match=rf"{file} is truncated or damaged \(.*\): download or copy it again"):
            copied(tmp_path / "c4", streaming)


@pytest.mark.parametrize(
    ("name", "pattern", "said"),
    [
        ("a.json", "*", r"matches no \.txt, \.jsonl, \.parquet file, only a\.json: convert or unpack"),
        ("a.jsonl.gz", "*.gz", r"matches no .*, only a\.jsonl\.gz: convert or unpack"),
        ("a.txt", "", r"is a folder: name the files in it, such as .*/\*\*/\*\.txt"),
        ("a.txt", "b" * 300, "matches no .* file .*correct the pattern"),
        ("a.txt", "a.txt/b", "matches no .* file .*correct the pattern"),
    ],
)
def test_patterns_that_match_no_text(tmp_path, name, pattern, said):
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=said):
        texts(f"{tmp_path}/{pattern}")


# --- whatever there is: documents, or one sentence ----------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(HALF) | st.just("\0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
rows = st.dictionaries(st.sampled_from(["text", "messages", "n"]), values, max_size=3) | values
lines = st.one_of(rows.map(json.dumps), st.text(), st.sampled_from(["[", "{", "", "\ufeff{}", "nan", '{"text": "a"}']))


def content_of(chosen) -> bytes:
    return "\n".join(chosen).encode("utf-8", "surrogatepass")


def one_sentence(read) -> None:
    try:
        found = read()
    except PrunescopeError as error:
        assert "\n" not in str(error)
        assert str(error).encode()  # can be printed
    else:
        assert all(isinstance(text, str) and text.strip() for text in found)
        assert "".join(found).encode() is not None


@in_one_folder
@given(st.lists(lines).map(content_of) | st.binary(), st.sampled_from(["a.jsonl", "a.txt"]))
@example(b"\xff\xfe\x00", "a.jsonl")
@example(b'{"text": 1e999}', "a.jsonl")
@example(b'{"\\n": null}', "a.jsonl")
@example(b'{"\\ud83d": null}', "a.jsonl")
def test_any_file_is_documents_or_a_sentence(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    for documents in ("rows", "headings"):
        one_sentence(lambda how=documents: texts(tmp_path / name, documents=how))


@in_one_folder
@given(st.lists(lines, min_size=1).map(content_of) | st.binary())
@example(b"null\n{}")
@example(b"[null, [null]]")
@example(b"\rnull")
@example(b"\n\xef\xbb\xbfnull")
def test_any_copy_is_documents_or_a_sentence(tmp_path, content):
    (tmp_path / "c4").mkdir(exist_ok=True)
    (tmp_path / "c4/train.jsonl").write_bytes(content)
    one_sentence(lambda: copied(tmp_path / "c4"))


@in_one_folder
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_any_damage_to_parquet_is_documents_or_a_sentence(tmp_path, place, damage):
    file = tmp_path / "a.parquet"
    write_table(pa.table({"text": [f"row {number}" for number in range(50)]}), file)
    content = file.read_bytes()
    place %= len(content)
    file.write_bytes(content[:place] + damage + content[place + len(damage) :])
    one_sentence(lambda: texts(file))


messages = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "gpt", 1, None]),
            "content": st.text() | values | st.lists(st.fixed_dictionaries({"type": values, "text": values})),
        },
    )
    | values,
    max_size=3,
)


@in_one_folder
@given(st.lists(st.fixed_dictionaries({"messages": messages | values}), min_size=1, max_size=4))
def test_any_messages_are_conversations_or_a_sentence(tmp_path, found):
    file = jsonl(tmp_path / "a.jsonl", found)
    source = DatasetSource(local=str(file), instruction={"messages": "messages"})

    def contents():
        read = [talk for purpose in PURPOSES for talk in read_conversations(source, purpose)]
        said = [message["content"] for talk in read for message in talk.messages]
        assert all(isinstance(text, str) and text.encode() is not None for text in said)
        return ["x"] * len(said)

    one_sentence(contents)


@given(values | st.binary() | st.tuples(st.text()))
def test_any_value_is_text_or_a_sentence(value):
    one_sentence(lambda: [as_text(value, "row 1", "write text") or "-"][:0])


@in_one_folder
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
@example(".")
@example("..")
@example("/")
@example("[")
@example("a/" * 2000)
def test_any_pattern_matches_files_or_none(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    try:
        source = DatasetSource(local=pattern)
    except ValueError as error:  # said by the section, before anything runs
        assert "** stands for folders" in str(error) or "is the root of all folders" in str(error)
        return
    if not pattern.startswith("/"):
        assert all(file.is_file() for file in matching_files(source.local))
