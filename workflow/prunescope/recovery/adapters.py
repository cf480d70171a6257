"""Low-rank adapters by peft."""

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from prunescope.config.sections import Recovery

ADAPTER = "default"
"""What peft calls an adapter that has no name."""


class Adapters:
    """An adapter, float32, on every linear layer of a frozen model but the head; the model is changed in place.

    They begin as zero: the model computes what it did.

    Attributes:
        layers: the adapted layers by the name of their weight in the model without adapters.
    """

    def __init__(self, model: nn.Module, told: Recovery) -> None:
        torch.manual_seed(told.seed)
        config = LoraConfig(
            r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, target_modules="all-linear", bias="none"
        )
        adapted = get_peft_model(model, config)
        self.parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        layers = model.named_modules()
        self.layers = {f"{name}.weight": layer for name, layer in layers if isinstance(layer, LoraLayer)}

    @torch.no_grad()
    def merged(self, name: str, weights: Tensor) -> Tensor:
        """Return weights with what their adapter learned, added in float32 or better; see `Trained`."""
        if name not in self.layers:
            return weights
        change = self.layers[name].get_delta_weight(ADAPTER).cpu()
        wide = torch.promote_types(weights.dtype, torch.float32)
        return (weights.to(wide) + change.to(wide)).to(weights.dtype)
