"""Local files: .txt, .jsonl and .parquet, split by a hash of each text."""

import json

import pandas as pd
import pytest

from prunescope.config.sections import DatasetSource
from prunescope.data.reading import origin, read_documents
from prunescope.errors import DataError

TEXTS = [f"text number {number}" for number in range(60)]
PURPOSES = ("calibration", "validation", "test")


def read(pattern, purposes=PURPOSES, **settings) -> dict[str, set[str]]:
    source = DatasetSource(local=str(pattern), **settings)
    return {purpose: {document.text for document in read_documents(source, purpose)} for purpose in purposes}


def write_txt(folder):
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text)


def write_jsonl(folder):
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": text, "n": 1}) for text in TEXTS))


def write_parquet(folder):
    pd.DataFrame({"n": 1, "text": TEXTS}).to_parquet(folder / "a.parquet")


@pytest.mark.parametrize("write", [write_txt, write_jsonl, write_parquet])
def test_every_format_gives_the_same_splits(tmp_path, write):
    write(tmp_path)
    (tmp_path / "README.md").write_text("not a text")
    found = read(tmp_path / "*")
    assert set.union(*found.values()) == set(TEXTS)
    assert sum(map(len, found.values())) == len(TEXTS)
    assert all(found.values())
    write_jsonl(tmp_path)
    assert found == read(tmp_path / "*.jsonl")


def test_relative_and_recursive_patterns(tmp_path, monkeypatch):
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    write_txt(tmp_path / "texts" / "deep")
    monkeypatch.chdir(tmp_path)
    assert set.union(*read("texts/**/*.txt").values()) == set(TEXTS)
    assert origin(DatasetSource(local="texts/**/*.txt")) == "texts/**/*.txt"


def test_copies_of_a_text_are_one_document(tmp_path):
    rows = [json.dumps({"body": text}) for text in [*TEXTS, *TEXTS, " "]]
    (tmp_path / "a.jsonl").write_text("\n".join(rows) + "\n\n")
    source = DatasetSource(local=str(tmp_path / "*.jsonl"), text="body")
    documents = [document for purpose in PURPOSES for document in read_documents(source, purpose)]
    assert sorted(document.text for document in documents) == sorted(TEXTS)
    assert len({document.id for document in documents}) == len(documents)


def test_headings_divide_a_txt_file(tmp_path):
    (tmp_path / "wiki.txt").write_text(" = One = \n\n alpha \n = = Part = = \n beta \n\n = Two = \n gamma \n")
    texts = set.union(*read(tmp_path / "wiki.txt", documents="headings").values())
    assert texts == {" = One = \n\n alpha \n = = Part = = \n beta \n", " = Two = \n gamma \n"}


def test_a_pattern_without_files(tmp_path):
    (tmp_path / "a.md").write_text("x")
    with pytest.raises(DataError, match=r"matches no \.txt, \.jsonl, \.parquet file"):
        read(tmp_path / "*")


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_a_missing_column_names_those_there(tmp_path, write):
    write(tmp_path)
    with pytest.raises(DataError, match=r"no column 'body': set `text` to one of (text, n|n, text)"):
        read(tmp_path / "*", text="body")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.txt"])
def test_an_unreadable_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff{not text")
    with pytest.raises(DataError, match=f"{name} could not be read"):
        read(tmp_path / "*")
