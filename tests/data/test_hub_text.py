"""Hub datasets: read by the real `load_dataset` from local copies in the hub's layout; failures explained."""

import gzip
import json

import datasets
import pandas as pd
import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import errors as hub

from prunescope.config.sections import DatasetSource
from prunescope.data.reading import origin, read_documents, split_name
from prunescope.errors import DataError

C4 = DatasetSource(
    hub="allenai/c4",
    files={
        "train": "en/c4-train.00000-of-01024.json.gz",
        "validation": "en/c4-validation.00000-of-00008.json.gz",
    },
    splits={"calibration": "train", "validation": "validation", "test": "validation"},
    streaming=True,
)
WIKITEXT = DatasetSource(
    hub="Salesforce/wikitext",
    files={"train": "wikitext-2-raw-v1/train-*.parquet", "test": "wikitext-2-raw-v1/test-*.parquet"},
    documents="headings",
)
PTB = DatasetSource(
    hub="ptb-text-only/ptb_text_only",
    revision="refs/convert/parquet",
    files={"train": "penn_treebank/train/*.parquet", "test": "penn_treebank/test/*.parquet"},
    text="sentence",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def with_path(source: DatasetSource, path, **changes) -> DatasetSource:
    return source.model_copy(update={"path": str(path), **changes})


def read(source: DatasetSource, purpose="calibration") -> list[tuple[str, str]]:
    return [(document.id, document.text) for document in read_documents(source, purpose)]


@pytest.fixture
def c4(tmp_path):
    for split, file in C4.files.items():
        path = tmp_path / "c4" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"text": f"{split} {row}", "timestamp": "2019-04-25T12:57:54Z", "url": "u"} for row in range(3)]
        with gzip.open(path, "wt") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
    # Another shard, which must not be read.
    (tmp_path / "c4/en/c4-train.00001-of-01024.json.gz").write_bytes(b"not gzip")
    return tmp_path / "c4"


def write_parquet(path, **columns):
    path.parent.mkdir(parents=True)
    pd.DataFrame(columns).to_parquet(path)


@pytest.fixture
def wikitext(tmp_path):
    rows = [
        "",
        " = One = \n",
        "",
        " alpha \n",
        " = = Part = = \n",
        " x = y = z \n",
        " = a = = \n",
        " = Two = \n",
        " beta \n",
        "",
    ]
    write_parquet(tmp_path / "wikitext/wikitext-2-raw-v1/test-00000-of-00001.parquet", text=rows)
    return tmp_path / "wikitext"


@pytest.mark.parametrize("streaming", [True, False])
def test_c4_reads_the_one_pinned_file(c4, streaming):
    source = with_path(C4, c4, streaming=streaming)
    assert read(source) == [(f"train/{row}", f"train {row}") for row in range(3)]
    assert read(source, "test") == [(f"validation/{row}", f"validation {row}") for row in range(3)]
    assert split_name(source, "test") == "validation"
    assert origin(source) == str(c4)
    assert origin(C4) == "allenai/c4"


def test_wikitext_articles_begin_at_their_titles(wikitext):
    assert read(with_path(WIKITEXT, wikitext), "test") == [
        ("test/1", " = One = \n\n alpha \n = = Part = = \n x = y = z \n = a = = "),
        ("test/7", " = Two = \n beta \n"),
    ]


def test_ptb_reads_its_own_column_and_ignores_the_revision_of_a_copy(tmp_path):
    write_parquet(tmp_path / "ptb/penn_treebank/train/0000.parquet", sentence=["mr. <unk> is", "", "n years old"])
    assert read(with_path(PTB, tmp_path / "ptb")) == [("train/0", "mr. <unk> is"), ("train/2", "n years old")]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_missing_column_names_those_there(c4, streaming):
    with pytest.raises(DataError, match="no column 'sentence': set `text` to one of text, timestamp, url"):
        read(with_path(C4, c4, text="sentence", streaming=streaming))


def test_a_missing_split_names_those_there(wikitext):
    with pytest.raises(DataError, match="lacks the split 'validation': it has train, test"):
        read(with_path(WIKITEXT, wikitext), "validation")
    with pytest.raises(DataError, match=r"split 'train' .*Available splits: \['test'\]|Should be one of \['test'\]"):
        read(with_path(WIKITEXT, wikitext, files=None))


def test_a_pattern_that_matches_nothing(wikitext):
    with pytest.raises(DataError, match=r"split 'train' of '.*wikitext' could not be read .* check `files`"):
        read(with_path(WIKITEXT, wikitext))


def test_a_damaged_file(c4):
    (c4 / C4.files["train"]).write_bytes(b"not gzip")
    for streaming in (True, False):
        with pytest.raises(DataError, match=r"split 'train' of '.*c4' could not be read"):
            read(with_path(C4, c4, streaming=streaming))


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        read(with_path(C4, tmp_path / "nowhere"))


def http_error(kind, status: int):
    request = hub.Response.__init__.__globals__["Request"]("GET", "https://huggingface.co/x")
    return kind("refused", response=hub.Response(status, request=request))


UNKNOWN = "Dataset 'allenai/c4' doesn't exist on the Hub or cannot be accessed."
GATED = "Dataset 'allenai/c4' is a gated dataset on the Hub. You must be authenticated to access it."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DatasetNotFoundError(GATED), ["gated", "licence", "hf auth login", "HF_TOKEN", "`path`"]),
        (http_error(hub.GatedRepoError, 403), ["gated", "licence", "hf auth login", "HF_TOKEN", "`path`"]),
        (DatasetNotFoundError(UNKNOWN), ["private", "`hub` and `revision`", "HF_TOKEN", "`path`"]),
        (http_error(hub.RepositoryNotFoundError, 401), ["private", "`hub` and `revision`"]),
        (http_error(hub.RevisionNotFoundError, 404), ["revision default", "`hub` and `revision`"]),
        (ConnectionError("Couldn't reach 'allenai/c4'"), ["not be reached", "HF_ENDPOINT", "`path`"]),
        (hub.OfflineModeIsEnabled("offline mode"), ["not be reached", "HF_HUB_OFFLINE", "`path`"]),
        (hub.LocalEntryNotFoundError("no copy"), ["not be reached", "no copy"]),
        (http_error(hub.HfHubHTTPError, 503), ["not be reached", "refused"]),
    ],
)
def test_hub_errors_are_explained(monkeypatch, error, expected):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError) as caught:
        read(C4)
    for part in ["'allenai/c4'", *expected]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_errors_in_the_middle_of_a_stream_are_explained(monkeypatch):
    def broken():
        yield {"text": "first"}
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: broken())
    with pytest.raises(DataError, match=r"could not be reached .*reset by peer"):
        read(C4)


def test_the_hub_is_asked_for_one_split_of_a_pinned_revision(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **rest: asked.update(path=path, **rest) or [])
    assert read(PTB, "test") == []
    expected = {
        "path": "ptb-text-only/ptb_text_only",
        "data_files": {"test": "penn_treebank/test/*.parquet"},
        "revision": "refs/convert/parquet",
        "split": "test",
        "streaming": False,
    }
    assert asked == expected
    assert read(with_path(PTB, tmp_path), "test") == []
    assert asked == expected | {"path": str(tmp_path), "revision": None}


def test_offline_the_real_library_is_explained(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="could not be reached"):
        read(C4)
