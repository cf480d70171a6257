"""What the passes over the model leave: statistics, stability and times of the gradient pass, values of the prior."""

from collections.abc import Iterable

from pydantic import Field, model_validator

from prunescope.artifacts.document import Document, Known, Spread


class ParameterStatistics(Document):
    """Of |g| of one parameter: a number per batch, of the gradient of that batch alone; null where not finite."""

    mean: list[Known]
    std: list[Known] = Field(description="Of the population.")
    norm: list[Known] = Field(description="L2 norm.")
    max: list[Known]
    min: list[Known]


class LayerStatistics(Document):
    """Of |g| of all parameters of a layer pooled, averaged over the batches; null where not finite."""

    mean: Known
    std: Known = Field(description="Of all weights of the layer together.")
    norm: Known = Field(description="L2 norm of the layer's whole gradient.")
    max: Known
    min: Known


class StatisticsFile(Spread):
    """Statistics of |g|, the absolute gradient.

    In `gate` mode no weight has a gradient: the names are those of the output projections, the values are of the
    gradient at their inputs.
    """

    spread = "parameters"
    parameters: dict[str, ParameterStatistics] = Field(
        description="A key for each parameter, by its name in the model.", json_schema_extra={"key": "{parameter}"}
    )
    layers: dict[int, LayerStatistics] = Field(description="By layer.")


class Timing(Document):
    """Times of a gradient pass, in seconds."""

    load_seconds: float = Field(description="To load the model.")
    compute_seconds: float = Field(description="Of the pass itself, in this run.")
    statistics_seconds: float = Field(description="Of that, for the statistics.")
    statistics_share: float = Field(description="`statistics_seconds` / `compute_seconds`.")
    tokens: int = Field(description="Of the calibration set.")
    tokens_per_second: float = Field(description="Of this run, without what an earlier one had done.")
    batch_size: int = Field(description="As used: less than configured where memory ran out.")
    checkpointing: bool = Field(description="Whether activations were computed twice to save memory.")
    resumed_after_batches: int = Field(description="Batches that an earlier run had done.")
    resumed_after_layers: int = Field(0, description="Layers that it had done, in a pass that goes layer by layer.")
    mode: str = Field(description="How gradients were kept: `accumulate`, `layered`, `stream` or `gate`.")
    reason: str = Field(description="Why in this mode.")


class BlockValues(Document):
    """Values of a prior, by layer.

    Loss increase without the block, in nats per token; 1 - cosine of the residual stream before and after it where the
    prior is `similarity`. A block that is not there has 0.
    """

    attention: dict[int, float] = Field(description="Of the attention block.")
    mlp: dict[int, float] = Field(description="Of the MLP block.")
    layer: dict[int, float] = Field(description="Of both blocks together.")

    @model_validator(mode="after")
    def _same_layers(self) -> "BlockValues":
        if not set(self.attention) == set(self.mlp) == set(self.layer) == set(range(len(self.layer))):
            raise ValueError("attention, mlp and layer must have the same layers, from 0 on")
        return self

    @classmethod
    def of(cls, attention: Iterable[float], mlp: Iterable[float], layer: Iterable[float]) -> "BlockValues":
        """Take values that are in the order of the layers."""
        return cls(attention=dict(enumerate(attention)), mlp=dict(enumerate(mlp)), layer=dict(enumerate(layer)))

    def by_part(self) -> dict[str, list[float]]:
        """Return ``attention``, ``mlp`` and ``layer``, each in the order of the layers."""
        return {part: [values[layer] for layer in sorted(values)] for part, values in self}
