"""How large the splits of a text are, for the message that one of them is too small."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Purpose
from prunescope.data.documents import TooShortError
from prunescope.data.reading import read_documents, split_name
from prunescope.data.tokenizer import Encoder


@contextmanager
def telling_sizes(source: DatasetSource, purpose: Purpose, name: str, encode: Encoder) -> Iterator[None]:
    """End the message of a `TooShortError` with the documents and tokens of each split.

    Of a hub dataset only the split for `purpose` is counted, since the others may be as large as they like, and of a
    streamed one none, since it would be fetched again.
    """
    try:
        yield
    except TooShortError as error:
        if source.streaming:
            raise
        purposes = (purpose,) if source.hub else get_args(Purpose)
        sizes = [f"{split_name(source, each)} {_size(source, each, name, encode)}" for each in purposes]
        raise TooShortError(f"{error} (what there is: {'; '.join(sizes)})") from None


def _size(source: DatasetSource, purpose: Purpose, name: str, encode: Encoder) -> str:
    documents = tokens = 0
    for document in read_documents(source, purpose, name):
        documents += 1
        tokens += len(encode(document.text))
    return f"{tokens:,} tokens in {documents:,} document{'s' if documents != 1 else ''}"
