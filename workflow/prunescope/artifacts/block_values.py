"""What blocks are worth as wholes, by layer: the values of a prior."""

from collections.abc import Iterable

from pydantic import Field

from prunescope.artifacts.document import Document


class BlockValues(Document):
    """Values of a prior, by layer.

    Loss increase without the block, in nats per token; 1 - cosine of the residual stream before and after it where the
    prior is `similarity`. A block that is not there has 0.
    """

    attention: dict[int, float] = Field(description="Of the attention block.")
    mlp: dict[int, float] = Field(description="Of the MLP block.")
    layer: dict[int, float] = Field(description="Of both blocks together.")

    @classmethod
    def of(cls, attention: Iterable[float], mlp: Iterable[float], layer: Iterable[float]) -> "BlockValues":
        """Take values that are in the order of the layers."""
        return cls(attention=dict(enumerate(attention)), mlp=dict(enumerate(mlp)), layer=dict(enumerate(layer)))

    def by_part(self) -> dict[str, list[float]]:
        """Return ``attention``, ``mlp`` and ``layer``, each in the order of the layers."""
        return {part: [values[layer] for layer in sorted(values)] for part, values in self}
