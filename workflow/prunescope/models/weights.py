"""Reading and writing safetensors tensor by tensor, so that no model need fit into memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunescope.errors import DataError
from prunescope.files import read_json, write_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

SHARD_BYTES = 10**9
"""Weights of one file; about what writing a checkpoint holds in memory."""


class WeightReader:
    """Reads single tensors out of a checkpoint folder, whichever shard they are in.

    Only the shard that was read last is mapped: reading in the order of the shards is cheap.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / INDEX
        self.shards: dict[str, str] | None = read_json(index)["weight_map"] if index.is_file() else None
        self.shard: str | None = None
        self.file: Any = None

    def names(self) -> list[str]:
        """Return the names of all parameters, in the order of the shards."""
        if self.shards is not None:
            return [name for name, _ in sorted(self.shards.items(), key=lambda entry: entry[::-1])]
        with safe_open(self.folder / SINGLE, framework="pt") as file:
            return list(file.keys())

    def read(self, name: str) -> Tensor:
        """Return a parameter by name, in its stored dtype.

        Raises:
            DataError: the parameter is nowhere, or its shard is damaged.
        """
        shard = SINGLE if self.shards is None else self.shards.get(name)
        if shard is None:
            raise DataError(f"{self.folder} has no parameter '{name}' ({INDEX})")
        try:
            if shard != self.shard:
                self.file, self.shard = safe_open(self.folder / shard, framework="pt"), shard
            return self.file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _damaged(self.folder / shard, error) from error


def check_shards(folder: Path) -> None:
    """Raise `DataError` for the first safetensors file of a folder that is damaged; only headers are read."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{file} cannot be read ({error}); the file is damaged or incomplete: fetch it again, or delete the folder "
        "and run the step that wrote it"
    )


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
