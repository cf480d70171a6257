"""What is cut, as a file that a person can read, compare and edit, and what a checkpoint kept of its parent."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from prunescope.artifacts.document import Document
from prunescope.artifacts.facts import KINDS, BlockFacts, ModelFacts
from prunescope.errors import PrunescopeError

if TYPE_CHECKING:
    from prunescope.artifacts.plan import BlockPlan, PruningPlan


class PlanFile(Document):
    """What is cut. An edited copy can be applied: `prunescope apply`."""

    model: str
    removed: dict[str, dict[str, str]] = Field(
        description='Per layer and block the groups that are removed, as ranges: `{"17": {"attention": "0-2", "mlp": '
        '"5,8-40"}}`.'
    )

    @classmethod
    def of(cls, plan: "PruningPlan") -> "PlanFile":
        """Write a plan as ranges."""
        from prunescope.artifacts.plan import write_ranges

        removed = {
            str(layer): {kind: write_ranges(plan.block(layer, kind).removed) for kind in KINDS} for layer in plan.layers
        }
        return cls(model=plan.model, removed=removed)

    def plan(self, facts: ModelFacts, where: str | Path = "plan.json") -> "PruningPlan":
        """Return the plan, checked to fit the model.

        Args:
            where: the file, for the error.

        Raises:
            PrunescopeError: another model's plan, one that leaves nothing, an unknown layer or block, or a group out of
                range.
        """
        from prunescope.artifacts.plan import PruningPlan

        if self.model != facts.name:
            raise PrunescopeError(f"{where} is a plan for '{self.model}', not for '{facts.name}'")
        known = {(str(block.layer), block.block) for block in facts.blocks}
        for layer, kinds in self.removed.items():
            for kind in kinds:
                if (layer, kind) not in known:
                    raise PrunescopeError(f"{where}: removed.{layer}.{kind}: the model has no such block")
        blocks = tuple(self._block(facts, f"{where}: removed.{facts.layer}.{facts.block}") for facts in facts.blocks)
        if all(block.whole for block in blocks):
            raise PrunescopeError(f"{where} removes every group of every layer, so that no model is left; keep some")
        return PruningPlan(facts.name, blocks)

    def _block(self, facts: BlockFacts, where: str) -> "BlockPlan":
        from prunescope.artifacts.plan import BlockPlan, read_ranges

        try:
            groups = read_ranges(self.removed.get(str(facts.layer), {}).get(facts.block, ""), facts.groups)
        except ValueError as error:
            raise PrunescopeError(f"{where}: {error}") from None
        return BlockPlan(facts, groups)


def explain(error: ValidationError) -> str:
    """Say what is wrong with a file that a person edited."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["loc"][:1] != ("removed",):
        return f"{place}: {first['msg']}" if place else first["msg"]
    if len(first["loc"]) == 3:
        return f"{place} must be text such as '0-31,40'"
    return "'removed' must hold, per layer, the groups to remove by block"


class KeptGroups(Document):
    """What one layer of the pruned model kept."""

    layer: int = Field(description="Of the parent.")
    attention_groups: list[int]
    mlp_channels: list[int]


class PruningMap(Document):
    """Which groups of which layers of the parent are there."""

    parent: str = Field(description="Name of the model.")
    layers: list[KeptGroups] = Field(description="Per layer of the pruned model.")
    experiment: str | None = None
    plan: str | None = Field(None, description="The file, where a plan was applied by hand.")
    fitted: list[str] = Field([], description="Parameters of the parent whose kept columns were fitted or scaled.")
    parent_origin: str | None = None
    parent_revision: str | None = None
