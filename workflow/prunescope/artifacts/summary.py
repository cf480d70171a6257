"""What a plan removes, layer by layer and in total."""

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from prunescope.artifacts.document import Document, InFull
from prunescope.config.sections import Limits
from prunescope.config.sections.base import read_tau, write_tau

Threshold = Annotated[
    Annotated[float, Field(allow_inf_nan=True)] | None, BeforeValidator(read_tau), PlainSerializer(write_tau)
]


class BoundLimit(Document):
    """A limit that kept groups which the score alone would have removed."""

    limit: str = Field(description="Path in the configuration.")
    blocks: list[str] = Field(description="Where: a block is `17.mlp`.")


class NegativeDelta(Document):
    """A block whose removal lowered the loss."""

    layer: int
    block: str = Field(description="`attention`, `mlp`, or `layer`: both together.")
    delta: float = Field(description="Change of the loss without it, nats per token.")


class LayerRates(Document):
    """What goes from one layer; also a row of `pruning_summary.csv`.

    `*_params` and `*_removed` count parameters of prunable groups. The norm that goes with a whole block is in the
    totals only, so that a rate of 1 means that every group is gone.
    """

    layer: int
    attention_params: int
    attention_removed: int
    attention_rate: float
    mlp_params: int
    mlp_removed: int
    mlp_rate: float
    rate: float = Field(description="Of both blocks together.")


class PruningSummary(Document):
    """What was asked, and what goes."""

    model: str
    experiment: str
    target_ratio: float = Field(description="Fraction of all parameters that was asked for.")
    total_parameters: int
    decoder_parameters: int = Field(description="Those of the decoder layers.")
    removed_parameters: int
    remaining_parameters: int
    ratio_of_total: float = Field(description="Removed, of all parameters.")
    ratio_of_decoder: float = Field(description="Removed, of those in the decoder layers.")
    rounding_unit: int = Field(description="Parameters of the smallest unit that can go: the ratio is within it.")
    attention_rate: float = Field(description="Over all layers, weighted by parameters.")
    mlp_rate: float = Field(description="Over all layers, weighted by parameters.")
    limits: Annotated[Limits, InFull] = Field(description="As configured.")
    layers_dropped: list[int] = Field(description="Layers of which nothing stays.")
    tau: Threshold = Field(description='The threshold that was applied (`"inf"` possible); null at T = 0.')
    layer_wise: list[int] = Field(description="Layers below `tau`, which use their layer's prior; none at T = 0.")
    negative_deltas: list[NegativeDelta] = Field(description="Blocks whose removal lowered the loss.")
    bound: list[BoundLimit] = Field(description="Limits that kept what the score would have removed.")
    collapsed: list[str] = Field(description="Blocks that `collapse_below` removed whole.")
    layers: list[LayerRates] = Field(description="A row per layer.")

    @property
    def highest_rate(self) -> float:
        """The rate of the layer that loses most."""
        return max(layer.rate for layer in self.layers)

    @property
    def rate_spread(self) -> float:
        """Highest minus lowest rate of a layer."""
        return self.highest_rate - min(layer.rate for layer in self.layers)
