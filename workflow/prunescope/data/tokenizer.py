"""What a text step needs of the model: its tokenizer as a plain function, and its longest window."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunescope.errors import ConfigError, DataError, first_line
from prunescope.files import is_file, is_folder

Encoder = Callable[[str], list[int]]

FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
"""What a tokenizer is read from; a folder needs one of them."""

CONVERT = "make a tokenizer.json by AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"

UNKNOWN = 1000
"""Characters of a text, at its beginning, of which a tokenizer must know some."""


def load_tokenizer(folder: str | Path) -> Any:
    """Return the tokenizer of a checkpoint; code in the folder is not run.

    Raises:
        DataError: there is none, it is damaged, or it needs what is not there.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library of fast tokenizers raises bare exceptions
        raise DataError(_explain(Path(folder), error)) from error


def load_encoder(folder: str | Path) -> Encoder:
    """Return a function from text to token ids, without special tokens; errors as of `load_tokenizer` and `encoder`."""
    return encoder(load_tokenizer(folder), folder)


def encoder(tokenizer: Any, folder: str | Path) -> Encoder:
    """Return a tokenizer as a function from text to ids of the model in `folder`.

    The function raises `DataError` for an id that the model has no embedding for, and where the tokenizer knows
    nothing of the beginning of a text.
    """
    rows = _embeddings(Path(folder))
    unknown: int | None = 0  # characters so far without a token that is known; None: there was one

    def encode(text: str) -> list[int]:
        nonlocal unknown
        # verbose=False: a text longer than the model's window is no mistake here, it is cut into windows.
        try:
            ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        except Exception as error:  # as in `load_tokenizer`
            raise DataError(
                f"the tokenizer in '{folder}' fails on a text ({type(error).__name__}: {first_line(error)}): copy the "
                "tokenizer of the model there again"
            ) from error
        if rows is not None and ids and max(ids) >= rows:
            token = tokenizer.convert_ids_to_tokens(max(ids))
            raise DataError(
                f"the tokenizer in '{folder}' gives '{token}' the id {max(ids)}, but the model has embeddings for 0 to "
                f"{rows - 1} only (`vocab_size` in config.json): put the model's own tokenizer there, without words "
                "that were added later, or a model whose embedding was resized for them"
            )
        if unknown is not None:
            known = any(token != tokenizer.unk_token_id for token in ids)
            unknown = None if known else unknown + len(text.strip())
            if unknown is not None and unknown >= UNKNOWN:
                raise DataError(
                    f"the tokenizer in '{folder}' has no token for any of the first {unknown} characters of the text: "
                    "put the tokenizer of this model there, or give a text in a language of the model"
                )
        return ids

    return encode


def _explain(folder: Path, error: Exception) -> str:
    """Return one sentence with a way out for what transformers and tokenizers raise."""
    files = [name for name in FILES if is_file(folder / name)]
    reason = first_line(error)
    remedy = "copy the tokenizer of the model there again"
    if not is_folder(folder):
        reason, remedy = "there is no such folder", "give the model a local `path`"
    elif code := _own_code(folder):
        reason = f"it is made by the Python code {code}, which is not run"
        remedy = "take `auto_map` out of its tokenizer_config.json, if its tokenizer.json gives the same tokens"
        if "tokenizer.json" not in files:
            remedy = f"{CONVERT} where you trust that code, and take `auto_map` out of tokenizer_config.json"
    elif not files:
        reason, remedy = f"it has none of {', '.join(FILES)}", "copy the tokenizer of the model there"
    elif isinstance(error, ImportError) or "tokenizer.json" not in files:
        remedy = f"{CONVERT} where the packages that it needs are installed, such as sentencepiece"
    return f"no tokenizer could be loaded from '{folder}' ({reason}): {remedy}"


def _own_code(folder: Path) -> str | None:
    """Return the Python class that a tokenizer names beside its files, if it names one."""
    named = _read(folder / "tokenizer_config.json").get("auto_map")
    classes = named.get("AutoTokenizer") if isinstance(named, dict) else named
    return next((name for name in (classes if isinstance(classes, list) else [classes]) if name), None)


def _embeddings(folder: Path) -> int | None:
    """Return how many tokens a model embeds; None where its configuration does not say."""
    rows = _read(folder / "config.json").get("vocab_size")
    return rows if isinstance(rows, int) else None


def _read(file: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def check_window(path: str, length: int, context: int) -> None:
    """Raise `ConfigError` when the window at a config path is longer than the model takes."""
    if length > context:
        raise ConfigError(f"{path} = {length}: longer than the model's window; allowed: 8 to {context}")
