"""Whether an exported model computes what its checkpoint computes."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prunescope.config.sections import Closeness
from prunescope.data.tokenizer import load_tokenizer
from prunescope.errors import DataError, ExportError
from prunescope.export import llama_cpp
from prunescope.export.source import Source
from prunescope.models.loading import load_model

POSITIONS = 64
"""Positions compared at once, in float64."""

TOKENS = 512
"""Most tokens of the text that logits are compared on."""

CHECK_TEXT = Path(__file__).with_name("check_text.txt").read_text(encoding="utf-8")
"""What an export is compared on: prose, numbers, other scripts, code."""


@dataclass(frozen=True)
class Agreement:
    """How close the next-token distributions of an export are to the checkpoint's.

    Attributes:
        top1: share of positions with the same most likely token.
        kl: mean KL divergence of the export from the checkpoint, in nats; NaN if a logit is not finite.
        positions: how many were compared.
    """

    top1: float
    kl: float
    positions: int

    def within(self, limits: Closeness) -> bool:
        """Say whether it is close enough; NaN is not."""
        return self.top1 >= limits.min_agreement and self.kl <= limits.max_kl

    def require(self, what: str, limits: Closeness) -> "Agreement":
        """Return itself, or refuse an export that is not close enough.

        Raises:
            ExportError: with the figures.
        """
        if self.within(limits):
            return self
        raise ExportError(
            f"{what} is refused, it does not compute what the checkpoint computes: the most likely token agrees at "
            f"{self.top1:.1%} of {self.positions} positions (at least {limits.min_agreement:.1%} wanted), mean KL "
            f"{self.kl:.4g} nats (at most {limits.max_kl:g} wanted)"
        )


def compare_logits(reference: Tensor, exported: Tensor) -> Agreement:
    """Compare logits ``[positions, vocabulary]``: KL(reference || exported), in float64.

    Raises:
        ExportError: the shapes differ.
    """
    if reference.shape != exported.shape:
        raise ExportError(f"the export has logits of shape {tuple(exported.shape)}, not {tuple(reference.shape)}")
    if not exported.isfinite().all():
        return Agreement(0.0, math.nan, len(reference))
    same, kl = 0, 0.0
    for ours, theirs in zip(reference.split(POSITIONS), exported.split(POSITIONS), strict=True):
        same += (ours.argmax(-1) == theirs.argmax(-1)).sum().item()
        expected, got = ours.double().log_softmax(-1), theirs.double().log_softmax(-1)
        kl += (expected.exp() * (expected - got)).sum().item()
    return Agreement(same / len(reference), kl / len(reference), len(reference))


@torch.no_grad()
def checkpoint_logits(folder: Path, tokens: list[int]) -> Tensor:
    """Return the logits of a checkpoint in float32, ``[len(tokens), vocabulary]``, on the CPU."""
    model = load_model(folder, "float32")
    return model(torch.tensor([tokens], device=model.device)).logits[0].cpu()


@dataclass(frozen=True)
class Reference:
    """What an export must reproduce: the tokens of a text, and the logits over its first `TOKENS`."""

    text: str
    tokens: list[int]
    logits: Tensor

    @classmethod
    def of(cls, checkpoint: Source, file: Path | None = None) -> "Reference":
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
