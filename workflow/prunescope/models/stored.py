"""The tensors that a checkpoint folder holds: which of its files count, and what their headers say."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prunescope.errors import DataError
from prunescope.files import LFS_POINTER, read_json
from prunescope.models.weights import INDEX, SINGLE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file.

    Attributes:
        file: where it is. name: what it is called there.
        shape: its shape. dtype: in the words of the format, such as ``BF16``.
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Return the tensors of a checkpoint folder by name, in the order of the files; only headers are read.

    The files of the index count or, without one, the single file. Other files (``consolidated.safetensors``, an
    adapter, what a download left) are not looked at.

    Raises:
        DataError: a file is missing, damaged or in contradiction to another one.
    """
    index, single = folder / INDEX, folder / SINGLE
    if not _there(index):
        _check_there([single])
        return _headers([single])
    mapped = _read_index(index)
    files = sorted(set(mapped.values()))
    if not single.is_file() or files == [single]:
        _check_there(files)
        if not single.is_file():
            _check_metadata(index)
        return _indexed(index, mapped, _headers(files))
    if any(not file.is_file() for file in files):
        log.warning("%s names files that are not there, and is passed over: %s is read", index, single.name)
        return _headers([single])
    whole, sharded = _headers([single]), _headers(files)
    if not _same(whole, sharded):
        raise DataError(
            f"{folder} holds two models: {SINGLE}, and the {len(files)} files that {INDEX} names; delete the one that "
            "is not wanted (the index with its files)"
        )
    return whole


class TensorReader:
    """Reads tensors; only the file that was read last is mapped, so that reading in the order of the files is cheap."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._content: Any = None

    def read(self, stored: Stored) -> Tensor:
        """Return a tensor in its stored dtype.

        Raises:
            DataError: the file is damaged, or gone.
        """
        try:
            if stored.file != self._file:
                self._content, self._file = safe_open(stored.file, framework="pt"), stored.file
            return self._content.get_tensor(stored.name)
        except (SafetensorError, OSError) as error:
            raise _unreadable(stored.file, error) from error


def _there(path: Path) -> bool:
    """Whether there is such a file, or a link that should lead to one."""
    return path.is_file() or path.is_symlink()


def _read_index(index: Path) -> dict[str, Path]:
    """Return the file of every tensor that an index names."""
    _check_there([index])
    content = read_json(index)
    mapped = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(mapped, dict) or not mapped:
        raise DataError(f"{index} names no files (it has no `weight_map`): fetch it again")
    for name, file in mapped.items():
        if not isinstance(file, str) or not file or Path(file).name != file:
            raise DataError(
                f"{index} says that {name!r} is in {json.dumps(file)}: must be the name of a file in the same folder"
            )
    return {name: index.parent / file for name, file in mapped.items()}


def _check_metadata(index: Path) -> None:
    if not isinstance(read_json(index).get("metadata"), dict):
        raise DataError(f'{index} has no `metadata`, without which transformers does not read it: add "metadata": {{}}')


def _check_there(files: Iterable[Path]) -> None:
    missing = [file for file in files if not file.is_file()]
    for file in missing:
        if file.is_symlink():
            raise DataError(f"{file} is a link to {file.readlink()}, which is not there: fetch the checkpoint again")
    if missing and missing[0].name == SINGLE and (shards := sorted(missing[0].parent.glob("model-*-of-*.safetensors"))):
        raise DataError(f"{missing[0].parent} holds {shards[0].name} but no {INDEX}, which names the shards: fetch it")
    if missing:
        names = ", ".join(file.name for file in missing[:3])
        raise DataError(
            f"{missing[0].parent} lacks {names}{' and more' if len(missing) > 3 else ''}: fetch the checkpoint again, "
            "or convert it to safetensors first (pickled weights are not read)"
        )


def _headers(files: Iterable[Path]) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for file in files:
        for stored in _header(file):
            if stored.name in tensors:
                other = tensors[stored.name].file.name
                raise DataError(
                    f"{stored.name!r} is in {other} and in {file.name} of {file.parent}: fetch the checkpoint again"
                )
            tensors[stored.name] = stored
    return tensors


def _header(file: Path) -> list[Stored]:
    try:
        with safe_open(file, framework="pt") as content:
            slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118 (it is no dict)
            return [Stored(file, name, tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()]
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    try:
        with file.open("rb") as content:
            pointer = content.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError as refused:
        return DataError(f"{file} cannot be read: {refused.strerror}")
    if pointer:
        return DataError(f"{file} is a pointer of Git LFS, not the weights: run `git lfs pull` in its folder")
    return DataError(
        f"{file} cannot be read ({error}); the file is damaged or incomplete: fetch it again, or delete the folder "
        "and run the step that wrote it"
    )


def _indexed(index: Path, mapped: dict[str, Path], tensors: dict[str, Stored]) -> dict[str, Stored]:
    """Return the tensors of shards, checked against the index."""
    for name, file in mapped.items():
        if name not in tensors or tensors[name].file != file:
            raise DataError(f"{index} says that {name!r} is in {file.name}, which does not hold it: fetch both again")
    return tensors


def _same(one: dict[str, Stored], other: dict[str, Stored]) -> bool:
    """Whether two sets of tensors hold the same numbers."""
    if {name: (stored.shape, stored.dtype) for name, stored in one.items()} != {
        name: (stored.shape, stored.dtype) for name, stored in other.items()
    }:
        return False
    left, right = TensorReader(), TensorReader()
    return all(torch.equal(left.read(one[name]), right.read(other[name])) for name in one)
