"""What a text step needs of the model: its tokenizer as a plain function, and its longest window."""

from collections.abc import Callable
from pathlib import Path

from prunescope.errors import ConfigError, DataError

Encoder = Callable[[str], list[int]]


def load_encoder(folder: str | Path) -> Encoder:
    """Return a function from text to token ids, without special tokens.

    Raises:
        DataError: there is no tokenizer in the folder.
    """
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"no tokenizer could be loaded from '{folder}' ({reason}): give the model a local `path`"
        ) from error
    # verbose=False: a text longer than the model's window is no mistake here, it is cut into windows.
    return lambda text: loaded(text, add_special_tokens=False, verbose=False)["input_ids"]


def check_window(path: str, length: int, context: int) -> None:
    """Raise `ConfigError` when the window at a config path is longer than the model takes."""
    if length > context:
        raise ConfigError(f"{path} = {length}: longer than the model's window; allowed: 8 to {context}")
