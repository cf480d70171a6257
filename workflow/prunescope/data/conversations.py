"""Instruction data: who said what, and which part of it a model learns to say."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Purpose
from prunescope.data.documents import SEPARATOR, Row, as_text, chosen, kind_of, shown
from prunescope.data.hub import read_hub
from prunescope.data.local import find_files, read_file
from prunescope.data.reading import split_name
from prunescope.errors import DataError, first_line

Message = dict[str, str]
"""Role and content, as chat templates read them."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True)
class Conversation:
    """A conversation; `id` is unique within its source, `place` tells where it stands, for messages."""

    id: str
    messages: list[Message]
    place: str = ""


def read_conversations(source: DatasetSource, purpose: Purpose) -> Iterator[Conversation]:
    """Yield the conversations that serve `purpose` and hold a response, in a fixed order.

    Local ones are divided by a hash of what is said, copies left out; those of the hub by its splits.

    Raises:
        DataError: the data cannot be obtained or has another layout.
    """
    found: Iterator[tuple[str, tuple[str, list[Message]]]]
    if source.hub:
        split = split_name(source, purpose)
        rows = enumerate(read_hub(source, source.columns, split))
        found = ((f"{split}/{index}", (row.place, _messages(row, source.columns))) for index, row in rows)
    else:
        found = chosen(_local_messages(source), purpose)
    for row_id, (place, messages) in found:
        if any(message["role"] == "assistant" and message["content"].strip() for message in messages):
            yield Conversation(row_id, messages, place)


def _local_messages(source: DatasetSource) -> Iterator[tuple[str, tuple[str, list[Message]]]]:
    """Yield places and messages of rows, after what is said in them."""
    for file in find_files(source.local or ""):
        if file.suffix.lower() == ".txt":
            raise DataError(f"{file} holds no instruction data: name .jsonl or .parquet files in `local`")
        for row in read_file(file, source.columns):
            messages = _messages(row, source.columns)
            # What messages hold besides role and content may be of any kind.
            yield json.dumps([row.values[column] for column in source.columns], default=str), (row.place, messages)


def _messages(row: Row, columns: tuple[str, ...]) -> list[Message]:
    """Return the messages of a row, whose columns are one of messages, or prompt and response."""
    if len(columns) == 2:
        said = zip(("user", "assistant"), map(row.text, columns), strict=True)
        return [{"role": role, "content": text} for role, text in said]
    where, messages = f"{row.place}: column '{columns[0]}'", row.values[columns[0]]
    if not isinstance(messages, (list, type(None))):
        raise DataError(f"{where} must hold lists of {{role, content}}, not {kind_of(messages)}")
    return [_message(message, where, number) for number, message in enumerate(messages or (), 1)]


def _message(message: Any, where: str, number: int) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        is_one = f"has the keys {shown(message)}" if isinstance(message, dict) else f"is {kind_of(message)}"
        raise DataError(f"{where} must hold lists of {{role, content}}, but message {number} {is_one}")
    role, where = message["role"], f"{where}: message {number}"
    if role not in ROLES:
        named = f"'{shown([role])}'" if isinstance(role, str) else kind_of(role)
        raise DataError(f"{where} has the role {named}; allowed: {', '.join(ROLES)}")
    return {"role": role, "content": _content(message["content"], where)}


def _content(content: Any, where: str) -> str:
    """Return what a message says; of parts, as multimodal data have them, the texts joined."""
    remedy = "write its content as text"
    if not isinstance(content, list):
        return as_text(content, where, remedy)
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if kind != "text" or "text" not in part:
            named = f"a part of the type '{shown([kind])}'" if isinstance(kind, str) else "a part without a type"
            raise DataError(f"{where} holds {named}, not text: leave the part out, or the row")
        texts.append(as_text(part["text"], where, remedy))
    return "".join(texts)


def parts(messages: list[Message], tokenizer: Any) -> list[tuple[str, bool]]:
    """Return the text of a conversation in pieces, each with whether the model is to learn it: what it answers.

    Without a chat template blank lines join messages, and the token that ends a text follows every response.

    Raises:
        DataError: the chat template refuses the conversation, or rewrites what was said before.
    """
    if not tokenizer.chat_template:
        ends = {True: tokenizer.eos_token or "", False: SEPARATOR}
        spoken = ((message["content"], message["role"] == "assistant") for message in messages)
        return [(text + ends[learned], learned) for text, learned in spoken]
    if messages[0]["role"] == "assistant":
        raise DataError("the conversation begins with a response: put before it what it answers, or leave the row out")
    pieces, before = [], ""
    for index in (index for index, message in enumerate(messages) if message["role"] == "assistant"):
        asked = _written(tokenizer, messages[:index], add_generation_prompt=True)
        answered = _written(tokenizer, messages[: index + 1], add_generation_prompt=False)
        if not (asked.startswith(before) and answered.startswith(asked)):
            raise DataError(
                "the tokenizer's chat template writes the beginning of a conversation otherwise once it goes on: set "
                "`chat_template` to null in tokenizer_config.json, or give data with one response per row"
            )
        pieces += [(asked.removeprefix(before), False), (answered.removeprefix(asked), True)]
        before = answered
    return pieces


def _written(tokenizer: Any, messages: list[Message], add_generation_prompt: bool) -> str:
    try:
        written = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:  # a template is a program, which may raise anything
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(
            f"the tokenizer's chat template refuses the turns {roles} ({first_line(error)}): give data with the turns "
            "that it takes (of many models: no system, user and assistant by turns), or delete the template"
        ) from error
    return as_text(written, "what the chat template writes", "give data of text, or delete the template")
