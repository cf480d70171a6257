"""Tokenizers: none, damaged ones, their own code, and ids that the model does not have."""

import json
from pathlib import Path

from inputs.case import Case, Edit
from inputs.editing import LFS, deleted, linked, told, written
from inputs.texts import LAST, texts

OWN = {"tokenizer_class": "MineTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_mine.MineTokenizer", None]}}


def tokenizer(change) -> Edit:
    """Change the content of `tokenizer.json`."""

    def edit(project: Path) -> None:
        path = project / "model/tokenizer.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def more_words(content: dict) -> None:
    content["model"]["vocab"] |= {"added": 61, "w70": 70}


def added_token(content: dict) -> None:
    token = {"id": 61, "content": "added", "special": True, "single_word": False, "lstrip": False, "rstrip": False}
    content["added_tokens"].append(token | {"normalized": False})


USED = texts({f"{number}.txt": f"w{3 + number} added w5 " * 20 for number in range(50)})
UNKNOWN = texts({f"{number}.txt": f"other words {number} " * 20 for number in range(50)})

CASES = [
    Case("no tokenizer at all", (deleted("tokenizer*"),), "tokenizer", **LAST),
    Case("`tokenizer.json` is damaged", (written("tokenizer.json", "{"),), "tokenizer", **LAST),
    Case("`tokenizer.json` is a list", (written("tokenizer.json", []),), "tokenizer", **LAST),
    Case("`tokenizer.json` is a Git LFS pointer", (written("tokenizer.json", LFS),), "tokenizer", **LAST),
    Case("`tokenizer.json` is a link that leads nowhere", (linked("tokenizer.json", "nowhere"),), "tokenizer", **LAST),
    Case("`tokenizer_config.json` is a list", (written("tokenizer_config.json", []),), "tokenizer", **LAST),
    Case("`tokenizer_config.json` is no JSON", (written("tokenizer_config.json", "{"),), "tokenizer", **LAST),
    Case("an unknown `tokenizer_class`", (told("tokenizer_config.json", tokenizer_class="MineTokenizer"),), **LAST),
    Case(
        "a tokenizer with its own Python file",
        (
            deleted("tokenizer.json"),
            told("tokenizer_config.json", **OWN),
            written("tokenization_mine.py", "raise SystemExit('ran')"),
        ),
        "tokenizer",
        **LAST,
    ),
    Case(
        "a sentencepiece model that is a Git LFS pointer",
        (
            deleted("tokenizer.json"),
            told("tokenizer_config.json", tokenizer_class="LlamaTokenizer"),
            written("tokenizer.model", LFS),
        ),
        "tokenizer",
        **LAST,
    ),
    Case("a word beyond the embedding that occurs", (tokenizer(more_words), USED), r"added.*61", **LAST),
    Case("a word beyond the embedding that does not occur", (tokenizer(more_words),), **LAST),
    Case("an added token beyond the embedding that occurs", (tokenizer(added_token), USED), r"added.*61", **LAST),
    Case("a tokenizer of another language: every word is unknown", (UNKNOWN,), "unknown|no token", **LAST),
]
