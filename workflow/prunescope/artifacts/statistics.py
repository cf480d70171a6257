"""Statistics of the gradient, by parameter and by layer."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from prunescope.artifacts.document import Document, Known

LAYERS = "layers"


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


class StatisticsFile(Document):
    """Statistics of |g|, the absolute gradient.

    In `gate` mode no weight has a gradient: the names are those of the output projections, the values are of the
    gradient at their inputs.
    """

    parameters: dict[str, ParameterStatistics] = Field(
        description="A key for each parameter, by its name in the model.", json_schema_extra={"key": "{parameter}"}
    )
    layers: dict[int, LayerStatistics] = Field(description="By layer.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, content: Any) -> Any:
        """Gather the parameters, which are keys of their own in the file."""
        if not isinstance(content, dict) or "parameters" in content or LAYERS not in content:
            return content
        parameters = {name: values for name, values in content.items() if name != LAYERS}
        return {"parameters": parameters, LAYERS: content[LAYERS]}

    @model_serializer(mode="wrap")
    def _spread(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {**content["parameters"]} | {LAYERS: content[LAYERS]}
