"""Windows go through a model one layer at a time: all of them through a layer before any goes through the next.

The weights of a layer are then read once for all windows, and those of the others need no memory.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.models.adapter import ModelAdapter, adapter_for, running
from prunescope.models.loss import batches
from prunescope.models.memory import free_memory, gib

log = logging.getLogger(__name__)

SHARE_OF_DEVICE, SHARE_OF_HOST = 0.5, 0.25
"""Of free memory, for streams."""


class Sweep:
    """Runs single layers of a model on residual streams.

    Args:
        example: one window ``[1, tokens]``. All windows are full and of its length, so that what layers get beside the
            residual stream (positions, mask) is the same for all and broadcasts.
    """

    def __init__(self, adapter: ModelAdapter, example: Tensor) -> None:
        self.adapter = adapter
        self.arguments = layer_arguments(adapter, example)

    def run(self, layer: int, hidden: Tensor) -> Tensor:
        """Return the residual stream after a layer, ``[batch, tokens, d]``, on the device of the one before it."""
        output = self.adapter.layers[layer](hidden, **self.arguments[layer])
        # Where layers are spread over several GPUs, the streams stay where they are.
        return (output[0] if isinstance(output, tuple) else output).to(hidden.device)


@torch.no_grad()
def layer_arguments(adapter: ModelAdapter, example: Tensor) -> list[dict[str, Any]]:
    """Return what each layer is called with beside the residual stream; no layer runs."""
    with ExitStack() as stack:
        for layer in adapter.layers:
            stack.enter_context(running(layer, lambda hidden_states, *_, **__: hidden_states))
        calls = stack.enter_context(adapter.recording_inputs())
        adapter.model.base_model(input_ids=example, use_cache=False)
    return [arguments for _, arguments in calls]


@torch.no_grad()
def final_states(model: nn.Module, windows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of windows, int64 ``[batch, tokens]``, and what the head reads of them, ``[batch, tokens, d]``.

    Where layers are read as they run, all windows go through one before the next is read.

    Args:
        windows: int ``[n, tokens]``, full windows without padding. batch_size: does not change a number.
    """
    adapter = adapter_for(model)
    parts = batches(windows, batch_size, adapter.device)
    if not adapter.offloaded:
        for part in parts:
            yield part, model.base_model(input_ids=part, use_cache=False).last_hidden_state
        return
    sweep, streams = Sweep(adapter, parts[0][:1]), Streams(adapter, 1, *windows.shape)
    for part, rows in zip(parts, rows_of(parts), strict=True):
        streams.write(0, rows, adapter.embed(part))
    for layer in range(len(adapter.layers)):
        for rows in rows_of(parts):
            streams.write(0, rows, sweep.run(layer, streams.read(0, rows)))
    for part, rows in zip(parts, rows_of(parts), strict=True):
        yield part, adapter.normed(streams.read(0, rows))


def rows_of(parts: Sequence[Tensor]) -> list[slice]:
    """Return where the windows of each batch are among all windows."""
    ends = list(accumulate(map(len, parts)))
    return [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]


class Streams:
    """The residual stream of all windows at some borders of layers: on the device, the host, or in a file.

    Args:
        borders: how many. windows, tokens: of each stream.
        folder: where the file is, which has no name and goes with the process.
        width: of what is kept of a token, if it is not the residual stream.
    """

    def __init__(
        self,
        adapter: ModelAdapter,
        borders: int,
        windows: int,
        tokens: int,
        folder: Path | None = None,
        width: int | None = None,
    ) -> None:
        weight = adapter.model.get_input_embeddings().weight
        self.device = adapter.device
        shape = (borders, windows, tokens, width or weight.shape[1])
        size = int(np.prod(shape)) * weight.element_size()
        host = torch.device("cpu")
        if self.device.type != "cpu" and size <= SHARE_OF_DEVICE * free_memory(self.device):
            self.kept, where = torch.empty(shape, dtype=weight.dtype, device=self.device), str(self.device)
        elif size <= SHARE_OF_HOST * free_memory(host):
            self.kept, where = torch.empty(shape, dtype=weight.dtype), "the host"
        else:
            self.kept, where = _in_file(shape, weight.dtype, size, folder), "a file"
        log.info("%s of residual streams on %s", gib(size), where)

    def read(self, border: int, rows: slice) -> Tensor:
        """Return the stream of some windows before layer `border`, ``[rows, tokens, d]``, on the device."""
        found = self.kept[border, rows]
        return found.clone() if found.device == self.device else found.to(self.device)

    def write(self, border: int, rows: slice, values: Tensor) -> None:
        """Keep the stream of some windows, or its gradient."""
        self.kept[border, rows] = values.detach()


def _in_file(shape: tuple[int, ...], dtype: torch.dtype, size: int, folder: Path | None) -> Tensor:
    with tempfile.TemporaryFile(dir=folder) as file:  # the mapping outlives it
        file.truncate(size)
        return torch.from_numpy(np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))).view(dtype).view(shape)
