"""The model's tokenizer as a plain function."""

from collections.abc import Callable
from pathlib import Path

from prunescope.errors import DataError

Encoder = Callable[[str], list[int]]


def load_encoder(tokenizer: str | Path) -> Encoder:
    """Return a function from text to token ids, without special tokens.

    Args:
        tokenizer: folder of a tokenizer, or a hub id.

    Raises:
        DataError: there is no such tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(tokenizer))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"no tokenizer could be loaded from '{tokenizer}' ({reason}): give the model a local `path`"
        ) from error
    # verbose=False: a text longer than the model's window is no mistake here, it is cut into windows.
    return lambda text: loaded(text, add_special_tokens=False, verbose=False)["input_ids"]
