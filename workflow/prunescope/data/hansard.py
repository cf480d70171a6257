"""House of Commons speeches (ParlSpeech v2 sample) as documents: the debate of a day."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from zipfile import ZipFile

from prunescope.data.archives import read_member
from prunescope.data.documents import SEPARATOR, Document

SHORTEST = 100
"""Characters of a speech; shorter ones ("Will the Minister give way?") recur in many debates."""

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def read_speeches(archive: bytes) -> Iterator[Document]:
    """Yield the debates in ``en.csv`` of a zip archive: one agenda item on one day, speeches in order."""
    with ZipFile(io.BytesIO(archive)) as files:
        table = io.StringIO(read_member(files, "en.csv", len(archive)).decode("utf-8"))
    debates = defaultdict(list)
    for row in csv.DictReader(table):
        if len(row["text"]) >= SHORTEST:
            debates[row["date"], repair(row["agenda"])].append((int(row["speechnumber"]), repair(row["text"])))
    for (date, agenda), speeches in debates.items():
        yield Document(f"{date} {agenda}", SEPARATOR.join(text for _, text in sorted(speeches)))


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252 (``Â£`` -> ``£``); characters that are right stay."""
    # The second byte of "à" reads as a no-break space, which the source has turned into a plain one.
    return _NOT_ASCII.sub(lambda run: _decoded(run[0]), text).replace("Ã ", "à ")


def _decoded(run: str) -> str:
    try:
        return b"".join(map(_byte, run)).decode("utf-8")
    except UnicodeError:
        return run


def _byte(character: str) -> bytes:
    """Windows-1252 leaves five bytes undefined; the faulty reading kept them as control characters."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")
