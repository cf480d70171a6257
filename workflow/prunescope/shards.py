"""Shards: which windows each of several jobs of a step works on."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One of `of` parts of windows, as equal as they can be; `number` counts from 0."""

    number: int = 0
    of: int = 1

    def __str__(self) -> str:
        """Return its name in paths, which counts from 1: ``2of5``."""
        return f"{self.number + 1}of{self.of}"

    @classmethod
    def named(cls, name: str) -> "Shard":
        """Return the shard of a name in paths."""
        number, _, of = name.partition("of")
        return cls(int(number) - 1, int(of))

    @classmethod
    def all(cls, of: int) -> "Iterator[Shard]":
        """Yield the shards that make up all windows."""
        return (cls(number, of) for number in range(of))

    def rows(self, count: int) -> slice:
        """Return which of `count` windows it has: neighbours, and none where there are fewer windows than shards."""
        return slice(count * self.number // self.of, count * (self.number + 1) // self.of)


WHOLE = Shard()
"""All windows in one job."""
