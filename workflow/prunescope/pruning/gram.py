"""What the inputs of each output projection have to do with one another, on the stream of the dense model.

From XᵀPX of all inputs follows, for any cut, what a refit of the block to what it loses itself gives
(`trial.stand_ins`). One sweep over the layers sums it up, with the memory of one layer, its sums, and one stream.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunescope.artifacts.facts import KINDS, BlockKind
from prunescope.errors import DataError, NonFiniteError
from prunescope.files import replacing
from prunescope.models.adapter import ModelAdapter
from prunescope.models.loss import batches
from prunescope.models.memory import trim
from prunescope.models.sweep import Streams, Sweep, rows_of
from prunescope.progress import Progress
from prunescope.pruning.least_squares import Sums
from prunescope.pruning.refit import WAY_OUT


def write_grams(adapter: ModelAdapter, windows: Tensor, folder: Path, batch_size: int) -> None:
    """Write a file per layer into `folder`, in float32; arguments as of `grams`."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer, found in enumerate(grams(adapter, windows, batch_size, folder.parent)):
        with replacing(_file(folder, layer)) as temporary:
            save_file({kind: gram.float().cpu() for kind, gram in found.items()}, temporary)
        trim()


def read_gram(folder: Path, layer: int, kind: BlockKind) -> Tensor:
    """Return XᵀPX of one output projection, float32 ``[inputs, inputs]``.

    Raises:
        DataError: its file is missing or damaged.
    """
    file = _file(folder, layer)
    try:
        with safe_open(file, framework="pt") as content:
            gram: Tensor = content.get_tensor(kind)
            return gram
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file} is damaged ({error}); delete {folder} and run its step again: gram") from error


def _file(folder: Path, layer: int) -> Path:
    return folder / f"layer_{layer}.safetensors"


@torch.no_grad()
def grams(
    adapter: ModelAdapter, windows: Tensor, batch_size: int, scratch: Path | None = None
) -> Iterator[dict[BlockKind, Tensor]]:
    """Yield XᵀPX of the output projections of each layer, float64 ``[inputs, inputs]``; see `least_squares.Sums`.

    Args:
        windows: int ``[n, tokens]``, full windows without padding. batch_size: windows that a layer takes at a time.
        scratch: the folder of the stream, where no memory takes it.

    Raises:
        NonFiniteError: the inputs of an output projection are NaN or infinite; names the layer.
    """
    parts = batches(windows, batch_size, adapter.device)
    rows = rows_of(parts)
    sweep, stream = Sweep(adapter, parts[0][:1]), Streams(adapter, 1, len(windows), windows.shape[1], scratch)
    for part, some in zip(parts, rows, strict=True):
        stream.write(0, some, adapter.embed(part))
    progress = Progress("gram", total=len(windows) * len(adapter.blocks), unit="windows of a block")
    kinds: dict[int, list[BlockKind]] = {}
    for block in adapter.blocks:
        kinds.setdefault(block.facts.layer, []).append(block.facts.block)
    for layer in range(len(adapter.layers)):
        yield {kind: _sum(sweep, stream, rows, layer, kind, progress) for kind in kinds.get(layer, ())}


def _sum(
    sweep: Sweep, stream: Streams, batches: list[slice], layer: int, kind: BlockKind, progress: Progress
) -> Tensor:
    """Take the stream through a block, and return XᵀPX of its output projection."""
    adapter, seen = sweep.adapter, list[Tensor]()
    projection = adapter.output_projection(layer, kind)
    sums = Sums(projection.in_features, 0, projection.weight.dtype, projection.weight.device)
    (other,) = (one for one in KINDS if one != kind)
    with adapter.silenced(layer, other), adapter.reading(layer, kind, _seen_by(seen)):
        for rows in batches:
            after = sweep.run(layer, stream.read(0, rows))
            here = after.to(sums.gram.device)
            sums.add(seen.pop(), here[..., :0], here)
            stream.write(0, rows, after)
            progress.advance(rows.stop - rows.start, f"{kind} of layer {layer}")
    if not sums.finite:
        raise NonFiniteError(
            f"the inputs of the output projection of the {kind} block of layer {layer} are not finite; {WAY_OUT}"
        )
    return sums.gram


def _seen_by(seen: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def look(inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return inputs

    return look
