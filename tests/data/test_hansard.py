"""Hansard speeches become debates, in readable characters."""

import io
from zipfile import ZipFile

import pytest

from prunescope.data.documents import Document
from prunescope.data.hansard import SHORTEST, read_speeches, repair


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("Â£5 and â€œsoâ€\x9d", "£5 and “so”"),
        ("LomÃ©, LarosiÃ¨re, 7Â·5", "Lomé, Larosière, 7·5"),
        ("dÃ©jÃ vu", "déjà vu"),
        ("£58 and café “as is”", "£58 and café “as is”"),
        ("plain", "plain"),
    ],
)
def test_repair(broken, text):
    assert repair(broken) == text


def test_speeches_of_a_debate_form_one_document_in_order():
    one, two, three = ("word " * (SHORTEST // 4) + name for name in ("one", "two", "Â£3"))
    rows = [
        f'"2010-01-02","Budget",20,"B","{two}"',
        f'"2010-01-02","Budget",3,"A","{one}"',
        '"2010-01-02","Budget",4,"B","Will the Minister give way?"',
        f'"2010-01-03","Budget",1,"A","{three}"',
    ]
    archive = io.BytesIO()
    with ZipFile(archive, "w") as files:
        files.writestr("en.csv", "\n".join(['"date","agenda","speechnumber","speaker","text"', *rows]))
    assert list(read_speeches(archive.getvalue())) == [
        Document("2010-01-02 Budget", f"{one}\n\n{two}"),
        Document("2010-01-03 Budget", three.replace("Â£3", "£3")),
    ]
