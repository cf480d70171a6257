"""Instruction data: who said what, and which part of it a model learns to say."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prunescope.config.sections import DatasetSource, Instruction
from prunescope.data import hub, local
from prunescope.data.documents import SEPARATOR, Purpose, Row, split_of, text_id
from prunescope.data.sources import split_name
from prunescope.errors import DataError

Template = Callable[[list[dict[str, str]], bool], str]
"""Writes messages as one text; with True it ends where the assistant is to speak."""


@dataclass(frozen=True)
class Conversation:
    """Messages of a system, a user and an assistant: (role, content). `id` is unique within its source."""

    id: str
    messages: tuple[tuple[str, str], ...]


def read_conversations(source: DatasetSource, purpose: Purpose) -> Iterator[Conversation]:
    """Yield the conversations that serve `purpose` and hold a response, in a fixed order.

    Local ones are divided by a hash of what is said, copies left out; those of the hub by its splits.

    Raises:
        DataError: the data cannot be obtained or has another layout.
    """
    split = split_name(source, purpose)
    if source.hub:
        for index, row in enumerate(hub.read_rows(source, source.columns, split)):
            yield from _conversation(f"{split}/{index}", row, source.instruction)
        return
    seen = set()
    for file in local.find_files(source.local or ""):
        if file.suffix == ".txt":
            raise DataError(f"{file} holds no instruction data: name .jsonl or .parquet files in `local`")
        for row in local.read_rows(file, source.columns):
            row_id = text_id(json.dumps([row[column] for column in source.columns]))
            if row_id not in seen and split_of(row_id) == purpose:
                seen.add(row_id)
                yield from _conversation(row_id, row, source.instruction)


def _conversation(row_id: str, row: Row, columns: Instruction) -> Iterator[Conversation]:
    """Yield the conversation of a row, if it holds a response."""
    if columns.messages is None:
        said = [{"role": "user", "content": row[columns.prompt]}]
        said.append({"role": "assistant", "content": row[columns.response]})
    else:
        said = row[columns.messages]
    try:
        messages = tuple((message["role"], message["content"] or "") for message in said or ())
    except (TypeError, KeyError):
        raise DataError(f"row {row_id}: column '{columns.messages}' must hold lists of {{role, content}}") from None
    if any(role == "assistant" and content.strip() for role, content in messages):
        yield Conversation(row_id, messages)


def parts(conversation: Conversation, template: Template | None, end: str) -> list[tuple[str, bool]]:
    """Return the text of a conversation in pieces, each with whether the model is to learn it: what it answers.

    Args:
        template: the tokenizer's chat template; None: messages are joined by blank lines, and `end` (the token that
            ends a text) follows every response.
    """
    if template is None:
        return [
            (content + end, True) if role == "assistant" else (content + SEPARATOR, False)
            for role, content in conversation.messages
        ]
    said = [{"role": role, "content": content} for role, content in conversation.messages]
    cuts, learned = [""], []
    for index, message in enumerate(said):
        if message["role"] == "assistant":
            cuts += [template(said[:index], True), template(said[: index + 1], False)]
            learned += [False, True]
    pieces = []
    for (before, after), learn in zip(pairwise(cuts), learned, strict=True):
        if not after.startswith(before):
            raise DataError(
                "the tokenizer's chat template writes the beginning of a conversation otherwise once it goes on: set "
                "`chat_template` to null in tokenizer_config.json, or give data with one response per row"
            )
        pieces.append((after.removeprefix(before), learn))
    return pieces


def chat_template(tokenizer: Any) -> Template | None:
    """Return the chat template of a tokenizer as a function; None where it has none."""
    if not tokenizer.chat_template:
        return None
    return lambda messages, ask: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
