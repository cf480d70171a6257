"""What a step asks of a cluster: memory, threads and time, by the size of the model."""

from dataclasses import dataclass
from math import ceil

UNKNOWN = 7e9
"""Parameters of a model that has not been obtained yet."""
BEGINNING = 4000, 30
"""MB and minutes of any job: Snakemake, which starts twice in it, imports, and the reading of what is there."""
MOST = 200_000, 1440
"""MB and minutes at most, which nodes and partitions have: with less memory, steps read the model layer by layer, and
gradients and recovery go on where they were ended."""


@dataclass(frozen=True)
class Work:
    """How the needs of a step grow with the model. A second attempt (`--retries`) asks for twice as much.

    Attributes:
        memory: times the weights in bfloat16. minutes: per billion parameters, on a GPU that others use too.
        gpu: whether it computes on one; with a GPU or without, it takes as many threads as it can use.
    """

    memory: float
    minutes: float
    gpu: bool = True

    def threads(self, parameters: float) -> int:
        """Return the threads that speed it up: one per ten million parameters, 2 to 16; one where it only copies."""
        return max(2, min(16, ceil(parameters / 1e7))) if self.gpu else 1

    def resources(self, parameters: float, attempt: int = 1) -> dict[str, int]:
        """Return what it asks for under Snakemake's names: ``mem_mb`` (MB), ``runtime`` (minutes) and ``gpu``."""
        grown = self.memory * 2 * parameters / 1e6, self.minutes * parameters / 1e9
        memory, minutes = (
            min(most, ceil(start + more)) for start, more, most in zip(BEGINNING, grown, MOST, strict=True)
        )
        return {"mem_mb": memory * attempt, "runtime": minutes * attempt} | ({"gpu": 1} if self.gpu else {})
