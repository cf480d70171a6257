"""Perplexity protocols: how a test text is divided into windows, as the name of the protocol says it."""

import re
from dataclasses import dataclass

SHORTEST = 8
SHAPE = (
    "must look like w512 (independent windows of 512 tokens) or w2048s512 (windows of 2048 tokens that advance by 512, "
    f"fewer than 2048); windows have at least {SHORTEST} tokens"
)


@dataclass(frozen=True, order=True)
class Protocol:
    """One way to measure perplexity.

    Attributes:
        window: tokens that the model sees at once.
        stride: tokens by which the window advances; of every window but the first of a span only the last
            `stride` tokens are scored, so that each token counts once. 0: independent windows, in which every
            token but the first is scored.
    """

    window: int
    stride: int = 0

    @classmethod
    def parse(cls, name: str) -> "Protocol":
        """Read ``w{window}`` or ``w{window}s{stride}``.

        Raises:
            ValueError: the name has another shape, or its numbers make no sense.
        """
        match = re.fullmatch(r"w(\d+)(?:s(\d+))?", name)
        if match is None or int(match[1]) < SHORTEST:
            raise ValueError(SHAPE)
        if match[2] is not None and not 0 < int(match[2]) < int(match[1]):
            raise ValueError(SHAPE)
        return cls(int(match[1]), int(match[2] or 0))

    @property
    def name(self) -> str:
        return f"w{self.window}" + (f"s{self.stride}" if self.stride else "")
