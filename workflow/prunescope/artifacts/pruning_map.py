"""What a pruned checkpoint kept of its parent."""

from pydantic import Field

from prunescope.artifacts.document import Document


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
    parent_origin: str | None = None
    parent_revision: str | None = None
