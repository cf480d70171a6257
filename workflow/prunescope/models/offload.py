"""Models larger than the memory of the device: decoder layers are read from the checkpoint as they run.

One layer is in memory at a time, and the system reads the next one into its page cache meanwhile: the one above or, on
the way down, the one below. What fits of the checkpoint stays in that cache, so that the host's memory is used as far
as it goes and the disk beyond; nothing is copied or pinned. The backward pass works if layers are checkpointed: a layer
that is computed again is read again.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

READ = Callable[[str], Tensor]
"""Returns a parameter of the checkpoint by name."""

AHEAD = Callable[[list[str]], None]
"""Is told the names of the parameters that will be read next."""


class OffloadedLayers:
    """The decoder layers of a model, of which at most one is in memory."""

    def __init__(
        self,
        layers: dict[str, nn.Module],
        read: READ,
        device: torch.device,
        dtype: torch.dtype,
        ahead: AHEAD = lambda _: None,
    ) -> None:
        """Take over layers whose parameters have no values yet.

        Args:
            layers: prefix of the parameter names -> decoder layer, in order.
            read: see `READ`. device, dtype: where and in what the layers compute. ahead: see `AHEAD`.
        """
        self._read, self._ahead, self.device, self.dtype = read, ahead, device, dtype
        self.layers = layers
        self.resident: str | None = None
        self._order, self._place = list(layers), -1
        for prefix, layer in layers.items():
            for module in layer.modules():
                for name, parameter in list(module.named_parameters(recurse=False)):
                    module.register_parameter(name, nn.Parameter(self._absent(parameter), requires_grad=False))
            layer.forward = partial(self._run, prefix, layer.forward)

    def read(self, name: str) -> Tensor:
        """Return a parameter on the device, in the compute dtype."""
        if self.resident and name.startswith(self.resident):
            return self.layers[self.resident].get_parameter(name.removeprefix(self.resident)).data
        return self._read(name).to(device=self.device, dtype=self.dtype)

    def _run(self, prefix: str, forward: Callable, *args: object, **kwargs: object) -> object:
        if self.resident != prefix:
            self._leave()
            layer = self.layers[prefix]
            values = [self.read(prefix + name) for name, _ in layer.named_parameters()]  # memory may run out here
            for parameter, value in zip(layer.parameters(), values, strict=True):
                parameter.data = value
            self.resident = prefix
            self._read_next(prefix)
        return forward(*args, **kwargs)

    def _read_next(self, prefix: str) -> None:
        place = self._order.index(prefix)
        following, self._place = place + (1 if place >= self._place else -1), place
        if 0 <= following < len(self._order):
            coming = self._order[following]
            self._ahead([coming + name for name, _ in self.layers[coming].named_parameters()])

    def _leave(self) -> None:
        for parameter in self.layers[self.resident].parameters() if self.resident else ():
            parameter.data = self._absent(parameter)
        self.resident = None

    def _absent(self, parameter: nn.Parameter) -> Tensor:
        """Return a tensor of the parameter's shape that takes no memory."""
        return torch.zeros((), dtype=self.dtype, device=self.device).expand(parameter.shape)


def offloaded_layers(model: nn.Module) -> OffloadedLayers | None:
    """Return what keeps the layers of a model, or None where they are in memory."""
    return getattr(model, "offloaded_layers", None)
