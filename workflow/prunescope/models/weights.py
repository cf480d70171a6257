"""Writing safetensors tensor by tensor, so that no model need fit into memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from prunescope.files import write_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

SHARD_BYTES = 10**9
"""Weights of one file; about what writing a checkpoint holds in memory."""


def write_shards(weights: Iterable[tuple[str, Tensor]], folder: Path, shard_bytes: int = SHARD_BYTES) -> int:
    """Write named tensors, as they come, into one file or several with an index, the way transformers does.

    Memory holds one shard at a time.

    Returns:
        the number of elements written.
    """
    names: list[list[str]] = []
    elements = size = 0
    for shard in _shards(weights, shard_bytes):
        save_file(shard, folder / _part(len(names)), metadata={"format": "pt"})
        names.append(list(shard))
        elements += sum(tensor.numel() for tensor in shard.values())
        size += sum(tensor.nbytes for tensor in shard.values())
    if len(names) == 1:
        (folder / _part(0)).rename(folder / SINGLE)
        return elements
    files = [f"model-{index + 1:05d}-of-{len(names):05d}.safetensors" for index in range(len(names))]
    for index, file in enumerate(files):
        (folder / _part(index)).rename(folder / file)
    weight_map = {name: file for file, inside in zip(files, names, strict=True) for name in inside}
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})
    return elements


def _part(index: int) -> str:
    return f"part-{index}.safetensors"  # how many there are is known at the end


def _shards(weights: Iterable[tuple[str, Tensor]], shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights:
        if shard and size + tensor.nbytes > shard_bytes:
            yield shard
            shard.clear()  # whoever took it holds this very dict
            size = 0
        shard[name] = tensor
        size += tensor.nbytes
    yield shard
