"""Texts: rows, files and conversations, and splits that come out empty."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from inputs.case import TEXTS, Case, Edit
from inputs.editing import told

DOCUMENTS = [" ".join(f"w{3 + (number * 7 + place * place) % 50}" for place in range(40)) for number in range(60)]
ROWS: list[dict[str, Any]] = [{"text": text} for text in DOCUMENTS]
LAST = {"last": "evaluation_text", "by": "evaluation_text"}
LONG = [" ".join(f"w{3 + (i * i + 7 * i * number) % 50}" for i in range(50)) + "." for number in range(1600)]
TEMPLATE = "{{% for m in messages %}}{}{{{{ m.content }}}}{{% endfor %}}"
NO_SYSTEM = TEMPLATE.format("{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}")
IN_TURN = TEMPLATE.format("{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must "
                          "alternate user/assistant') }}{% endif %}")  # fmt: skip


def texts(files: Mapping[str, bytes | str]) -> Edit:
    """Put files in the place of the texts."""

    def edit(project: Path) -> None:
        for file in (project / TEXTS).iterdir():
            file.unlink()
        for name, content in files.items():
            path = project / TEXTS / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return edit


def lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def local(pattern: str, **settings: Any) -> dict[str, Any]:
    return {"datasets": {"words": {"local": pattern} | settings}}


def of_files(name: str, files: Mapping[str, bytes | str], refused: str | None = None) -> Case:
    return Case(name, (texts(files),), refused, config=local(f"{TEXTS}/*"), **LAST)


def of_rows(name: str, row: Any, refused: str | None = None) -> Case:
    """Have 60 sound lines and, as line 31, another."""
    rows = [*ROWS[:30], row, *ROWS[30:]]
    return of_files(name, {"a.jsonl": lines(rows)}, refused)


def of_parquet(name: str, column: pa.Array, refused: str | None = None) -> Case:
    def edit(project: Path) -> None:
        texts({})(project)
        parquet.write_table(pa.table({"text": column}), project / TEXTS / "a.parquet")

    return Case(name, (edit,), refused, config=local(f"{TEXTS}/*"), **LAST)


def of_copy(name: str, content: bytes, refused: str | None = None, file: str = "all.json.gz") -> Case:
    """Have a local copy of a hub dataset."""
    files = {"train": file, "validation": file, "test": file}
    config = {"datasets": {"words": {"hub": "someone/words", "path": TEXTS, "files": files}}}
    return Case(name, (texts({file: content}),), refused, config=config, **LAST)


def of_talk(name: str, messages: Any, refused: str | None = None, template: str | None = None) -> Case:
    """Have instruction data of 60 conversations, all with such messages."""

    def edit(project: Path) -> None:
        rows = ({"messages": messages(f"w{3 + number % 50} w4 w5")} for number in range(60))
        (project / "talk.jsonl").write_text(lines(rows))

    source = {"local": "talk.jsonl", "instruction": {"messages": "messages"}}
    config = {"datasets": {"words": {"local": f"{TEXTS}/*"}, "talk": source}}
    config["recovery"] = {"enabled": True, "dataset": "talk", "tokens": 64, "seq_len": 32, "dtype": "float32"}
    edits = (edit, told("tokenizer_config.json", chat_template=template)) if template else (edit,)
    return Case(name, edits, refused, "recovery_text", config, last="recovery_text")


def talk(*turns: tuple[str, Any]) -> Any:
    """Return a function from what is asked to messages; an empty content is what is asked, a function takes it."""

    def said(asked: str) -> list[dict[str, Any]]:
        contents = [(role, content(asked) if callable(content) else content or asked) for role, content in turns]
        return [{"role": role, "content": content} for role, content in contents]

    return said


def part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def packed(rows: Iterable[Any]) -> bytes:
    return gzip.compress(lines(rows).encode())


WHERE = r"a\.jsonl.*\b31\b"
NUMBERS = [{"text": number} for number in range(60)]
IMAGE = [{"type": "image_url", "image_url": {"url": "x"}}]

VALUES = [
    of_rows("a number in the text column", {"text": 3}, WHERE),
    of_rows("a list in the text column", {"text": ["w3", "w4"]}, WHERE),
    of_rows("an object in the text column", {"text": {"en": "w3"}}, WHERE),
    of_rows("NaN in the text column", {"text": float("nan")}, WHERE),
    of_rows("null in the text column", {"text": None}),
    of_rows("a lone surrogate in a text", {"text": "w3 \ud800 w4"}, WHERE),
    of_rows("a line that is a list", ["w3"], WHERE),
    of_rows("a line that is a number", 3, WHERE),
    of_rows("a line that is null", None, WHERE),
    of_rows("one row of 61 without the column", {"content": "w3"}, WHERE),
    of_files("one JSON list in a .jsonl file", {"a.jsonl": json.dumps(ROWS)}, r"a\.jsonl"),
    of_files("a line that is cut off", {"a.jsonl": lines(ROWS)[:-20]}, r"a\.jsonl.*60"),
    of_parquet("bytes in the text column", pa.array([text.encode() for text in DOCUMENTS]), r"a\.parquet.*text"),
    of_parquet("numbers in the text column of a Parquet file", pa.array(range(60)), r"a\.parquet.*text"),
    of_parquet("NaN for missing texts in a Parquet file", pa.array([float("nan")] * 60), r"a\.parquet.*text"),
    of_parquet("lists in the text column of a Parquet file", pa.array([[t] for t in DOCUMENTS]), r"a\.parquet.*text"),
    of_parquet("a dictionary column", pa.array(DOCUMENTS).dictionary_encode()),
    of_parquet("a column of large strings", pa.array(DOCUMENTS, pa.large_string())),
    of_parquet("nulls among the texts of a Parquet file", pa.array([*DOCUMENTS, None])),
]

FILES = [
    of_files("a byte-order mark before JSON lines", {"a.jsonl": b"\xef\xbb\xbf" + lines(ROWS).encode()}),
    of_files(
        "a byte-order mark before a text", {f"{i}.txt": b"\xef\xbb\xbf" + t.encode() for i, t in enumerate(DOCUMENTS)}
    ),
    of_files("texts in UTF-16", {"a.txt": DOCUMENTS[0].encode("utf-16")}, r"a\.txt.*UTF-(8|16)"),
    of_files("texts in Latin-1", {"a.txt": "w3 Stra\u00dfe".encode("latin-1")}, r"a\.txt.*(UTF-8|utf-8)"),
    of_files("suffixes in capitals", {"A.JSONL": lines(ROWS)}),
    of_files("line ends of Windows", {"a.jsonl": lines(ROWS).replace("\n", "\r\n")}),
    of_files("an empty file among others", {"a.jsonl": lines(ROWS), "b.txt": "", "c.jsonl": ""}),
    of_files("empty files alone", {"a.txt": "", "b.txt": " \n"}, r"0 (windows|tokens|documents)"),
    of_files("an empty Parquet file (0 bytes)", {"a.parquet": b""}, r"a\.parquet"),
    of_files("JSON lines called .json", {"a.json": lines(ROWS)}, r"\.json"),
    of_files("a folder called like a text", {"a.jsonl": lines(ROWS), "b.txt/inside": ""}),
    Case(
        "a link that leads nowhere among the texts",
        (lambda project: (project / TEXTS / "gone.txt").symlink_to("nowhere"),),
        "link",
        **LAST,
    ),
    Case("`~` in a glob", (), config=local(f"~/{TEXTS}/*.txt"), **LAST),
    Case("a glob that matches nothing", (), r"matches no", config=local("text/*.txt"), **LAST),
    of_copy("a hub copy", packed(ROWS)),
    of_copy("a hub copy: a truncated .json.gz", packed(ROWS)[:-40], r"all\.json\.gz"),
    of_copy(
        "a hub copy: a .json.gz that is a Git LFS pointer",
        b"version https://git-lfs.github.com/spec/v1\n",
        r"all\.json\.gz",
    ),
    of_copy("a hub copy: numbers in the text column", packed(NUMBERS), "text"),
    of_copy("a hub copy: lists in the text column", packed({"text": [text]} for text in DOCUMENTS), "text"),
    of_copy("a hub copy: one row of 61 without the column", packed([*ROWS, {"content": "w3"}])),
    of_copy("a hub copy: another column", packed({"content": text} for text in DOCUMENTS), "no column 'text'.*content"),
]

CONVERSATIONS = [
    of_talk("conversations", talk(("user", ""), ("assistant", "w6 w7"))),
    of_talk("a message whose content is a number", talk(("user", ""), ("assistant", 7)), r"talk\.jsonl|row"),
    of_talk("messages in parts, as OpenAI writes them", talk(("user", part), ("assistant", part("w6 w7")))),
    of_talk("a message with an image", talk(("user", IMAGE), ("assistant", "w6")), "image"),
    of_talk("messages that are text", lambda asked: asked, "messages"),
    of_talk("messages of ShareGPT (`from`, `value`)", lambda asked: [{"from": "human", "value": asked}], "role"),
    of_talk(
        "a chat template that refuses a system turn",
        talk(("system", "w3"), ("user", ""), ("assistant", "w6")),
        "System role not supported",
        NO_SYSTEM,
    ),
    of_talk(
        "a chat template that refuses two user turns",
        talk(("user", "w3"), ("user", ""), ("assistant", "w6")),
        "Roles must alternate",
        IN_TURN,
    ),
    of_talk("a chat template that is no Jinja", talk(("user", ""), ("assistant", "w6")), "template", "{% for m in"),
]

SPLITS = [
    of_files("one big file of paragraphs", {"a.txt": "\n\n".join(LONG)}),
    of_files("one big file of lines", {"a.txt": "\n".join(LONG)}),
    of_files("one big file of one line", {"a.txt": " ".join(LONG)}),
    of_files("ten large documents", {f"{i}.txt": "\n\n".join(LONG[160 * i : 160 * i + 160]) for i in range(10)}),
    of_files("sixty identical documents", {"a.jsonl": lines([ROWS[0]] * 60)}, r"1 document|tokens.*documents?"),
    of_files("two short documents", {"a.txt": DOCUMENTS[0], "b.txt": DOCUMENTS[1]}, r"documents?"),
]  # fmt: skip

CASES = [*VALUES, *FILES, *CONVERSATIONS, *SPLITS]
