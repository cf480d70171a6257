"""Instruction data: who said what, and which part of it a model learns to say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from prunescope.config.sections import DatasetSource
from prunescope.data.documents import SEPARATOR, Purpose, Row, chosen
from prunescope.data.hub import read_hub
from prunescope.data.local import find_files, read_file
from prunescope.data.reading import split_name
from prunescope.errors import DataError

Message = dict[str, str]
"""Role (system, user or assistant) and content, as chat templates read them."""


@dataclass(frozen=True)
class Conversation:
    """A conversation; `id` is unique within its source."""

    id: str
    messages: list[Message]


def read_conversations(source: DatasetSource, purpose: Purpose) -> Iterator[Conversation]:
    """Yield the conversations that serve `purpose` and hold a response, in a fixed order.

    Local ones are divided by a hash of what is said, copies left out; those of the hub by its splits.

    Raises:
        DataError: the data cannot be obtained or has another layout.
    """
    rows: Iterator[tuple[str, Row]]
    if source.hub:
        split = split_name(source, purpose)
        rows = ((f"{split}/{index}", row) for index, row in enumerate(read_hub(source, source.columns, split)))
    else:
        rows = chosen(_local_rows(source), purpose)
    for row_id, row in rows:
        yield from _conversation(row_id, [row[column] for column in source.columns], source.columns[0])


def _local_rows(source: DatasetSource) -> Iterator[tuple[str, Row]]:
    """Yield rows after what is said in them."""
    for file in find_files(source.local or ""):
        if file.suffix == ".txt":
            raise DataError(f"{file} holds no instruction data: name .jsonl or .parquet files in `local`")
        for row in read_file(file, source.columns):
            yield json.dumps([row[column] for column in source.columns]), row


def _conversation(row_id: str, values: list[Any], column: str) -> Iterator[Conversation]:
    """Yield the conversation of a row, if it holds a response; `values`: messages, or prompt and response."""
    said = values[0]
    if len(values) == 2:
        said = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), values, strict=True)]
    try:
        messages = [{"role": message["role"], "content": message["content"] or ""} for message in said or ()]
    except (TypeError, KeyError):
        raise DataError(f"row {row_id}: column '{column}' must hold lists of {{role, content}}") from None
    if any(message["role"] == "assistant" and message["content"].strip() for message in messages):
        yield Conversation(row_id, messages)


def parts(messages: list[Message], tokenizer: Any) -> list[tuple[str, bool]]:
    """Return the text of a conversation in pieces, each with whether the model is to learn it: what it answers.

    Without a chat template blank lines join messages, and the token that ends a text follows every response.

    Raises:
        DataError: the chat template rewrites what was said before.
    """
    if not tokenizer.chat_template:
        ends = {True: tokenizer.eos_token or "", False: SEPARATOR}
        spoken = ((message["content"], message["role"] == "assistant") for message in messages)
        return [(text + ends[learned], learned) for text, learned in spoken]
    written = partial(tokenizer.apply_chat_template, tokenize=False)
    pieces, before = [], ""
    for index in (index for index, message in enumerate(messages) if message["role"] == "assistant"):
        asked = written(messages[:index], add_generation_prompt=True)
        answered = written(messages[: index + 1], add_generation_prompt=False)
        if not (asked.startswith(before) and answered.startswith(asked)):
            raise DataError(
                "the tokenizer's chat template writes the beginning of a conversation otherwise once it goes on: set "
                "`chat_template` to null in tokenizer_config.json, or give data with one response per row"
            )
        pieces += [(asked.removeprefix(before), False), (answered.removeprefix(asked), True)]
        before = answered
    return pieces
