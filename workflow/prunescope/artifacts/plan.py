"""The pruning plan: which groups of which block go. Selection makes it, surgery takes nothing else."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from prunescope.artifacts.facts import BlockFacts, BlockKind, ModelFacts
from prunescope.artifacts.formats import Json
from prunescope.artifacts.plan_file import PlanFile, explain
from prunescope.errors import DataError, PrunescopeError


@dataclass(frozen=True)
class BlockPlan:
    """What one block loses: `removed` are ascending int64 group indices; none of them: nothing goes."""

    facts: BlockFacts
    removed: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def kept(self) -> np.ndarray:
        """Ascending int64 indices of the groups that stay."""
        return np.setdiff1d(np.arange(self.facts.groups), self.removed)

    @property
    def whole(self) -> bool:
        """Whether nothing of the block stays."""
        return len(self.removed) == self.facts.groups

    @property
    def removed_parameters(self) -> int:
        """Parameters that go, the block's norm and output bias included when all of it goes."""
        return len(self.removed) * self.facts.cost + (self.facts.overhead if self.whole else 0)

    @property
    def rate(self) -> float:
        """Fraction of the groups that go."""
        return len(self.removed) / self.facts.groups


@dataclass(frozen=True)
class PruningPlan:
    """What a model loses, block by block (every block of the model is there)."""

    model: str
    blocks: tuple[BlockPlan, ...]

    def block(self, layer: int, kind: BlockKind) -> BlockPlan:
        """Return the plan of one block."""
        return self._by_place[layer, kind]

    @cached_property
    def _by_place(self) -> dict[tuple[int, str], BlockPlan]:
        return {(plan.facts.layer, plan.facts.block): plan for plan in self.blocks}

    @property
    def layers(self) -> list[int]:
        """Layers of the model, ascending."""
        return sorted({plan.facts.layer for plan in self.blocks})

    @property
    def kept_layers(self) -> list[int]:
        """Layers of which something stays; the others are dropped from the checkpoint."""
        return sorted({plan.facts.layer for plan in self.blocks if not plan.whole})

    @property
    def removed_parameters(self) -> int:
        return sum(plan.removed_parameters for plan in self.blocks)

    @classmethod
    def read(cls, path: Path, facts: ModelFacts) -> "PruningPlan":
        """Read a plan, edited perhaps, and check that it fits the model.

        Raises:
            DataError: there is no such file.
            PrunescopeError: no plan, another model's, one that leaves nothing, an unknown layer or block, or a group
                out of range.
        """
        try:
            return Json(PlanFile).read(path).plan(facts, path)
        except FileNotFoundError:
            raise DataError(f"{path} is not there; run the step that makes it first: importance") from None
        except ValidationError as error:
            raise PrunescopeError(f"{path}: {explain(error)}") from None


def write_ranges(groups: np.ndarray) -> str:
    """Write ascending indices as ranges: ``[0, 1, 2, 7]`` -> ``"0-2,7"``."""
    if len(groups) == 0:
        return ""
    runs = np.split(groups, np.flatnonzero(np.diff(groups) != 1) + 1)
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def read_ranges(text: str, count: int) -> np.ndarray:
    """Read what `write_ranges` wrote (order and repetition do not matter) as ascending int64 indices below `count`.

    Raises:
        ValueError: the text is not a list of ranges, or names an index that does not exist.
    """
    groups: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise ValueError(f"'{part:.40}' is not an index or a range such as 3-7")
        if last >= count:
            raise ValueError(f"group {last} does not exist; allowed: 0 to {count - 1}")
        groups.update(range(first, last + 1))
    return np.array(sorted(groups), dtype=np.int64)
