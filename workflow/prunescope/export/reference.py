"""What an export must reproduce, and the comparisons with it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prunescope.errors import DataError, ExportError
from prunescope.export import llama_cpp
from prunescope.export.agreement import Agreement, checkpoint_logits, compare_logits
from prunescope.export.source import Checkpoint
from prunescope.models.loading import load_tokenizer

TOKENS = 512
"""Most tokens of the text that logits are compared on."""

CHECK_TEXT = Path(__file__).with_name("check_text.txt").read_text(encoding="utf-8")
"""What an export is compared on: prose, numbers, other scripts, code."""


@dataclass(frozen=True)
class Reference:
    """What an export must reproduce: the tokens of a text, and the logits over its first `TOKENS`."""

    text: str
    tokens: list[int]
    logits: Tensor

    @classmethod
    def of(cls, checkpoint: Checkpoint, file: Path | None = None) -> "Reference":
        """Tokenise the text in `file` (None: `CHECK_TEXT`) and run the checkpoint on it.

        Raises:
            DataError: there is no such file, or no token in it.
        """
        if file is not None and not file.is_file():
            raise DataError(f"--text: no file {file}")
        text = CHECK_TEXT if file is None else file.read_text(encoding="utf-8")
        tokens = load_tokenizer(checkpoint.folder)(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not tokens:
            raise DataError("the text to compare on holds no token; give another one with --text")
        window = tokens[: min(TOKENS, checkpoint.context)]
        return cls(text, tokens, checkpoint_logits(checkpoint.folder, window))

    @property
    def window(self) -> list[int]:
        """The tokens that there are logits for."""
        return self.tokens[: len(self.logits)]

    def compare_checkpoint(self, folder: Path) -> Agreement:
        """Compare the logits of another checkpoint."""
        return compare_logits(self.logits, checkpoint_logits(folder, self.window))

    def compare_gguf(self, file: Path) -> Agreement:
        """Compare the logits that llama.cpp computes from a GGUF file."""
        return compare_logits(self.logits, torch.from_numpy(llama_cpp.compute_logits(file, self.window)))

    def check_tokens(self, file: Path) -> None:
        """Raise `ExportError` unless llama.cpp splits the text into the same tokens."""
        theirs = llama_cpp.tokenize(file, self.text)
        if theirs == self.tokens:
            return
        pairs = enumerate(zip(self.tokens, theirs, strict=False))
        place = next((index for index, (one, other) in pairs if one != other), min(len(self.tokens), len(theirs)))
        raise ExportError(
            f"the export is refused: of the text, the checkpoint's tokenizer makes {len(self.tokens)} tokens and "
            f"llama.cpp {len(theirs)}, which differ from token {place} on; export.gguf.pre_tokenizer may be wrong"
        )
