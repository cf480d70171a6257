"""A checkpoint in memory, and what may be changed in it at random."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from inputs.editing import FORMAT, INDEX, SINGLE, Tensors
from tiny import tiny_model

SOUND = {
    "llama": {"num_hidden_layers": 2},
    "tied": {"num_hidden_layers": 1, "tie_word_embeddings": True},
    "qwen2": {"num_hidden_layers": 1, "family": "qwen2"},
}

Change = tuple[Any, ...]
"""A function that changes a `Folder`, and its arguments."""


@dataclass
class Folder:
    """A checkpoint in memory: tensors by file, and other files."""

    shards: dict[str, Tensors]
    config: dict[str, Any]
    index: Any = None
    files: dict[str, bytes] = field(default_factory=dict)
    damage: list[tuple[str, Callable[[bytes], bytes]]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        files = {name: save(shard, FORMAT) for name, shard in self.shards.items()}
        files["config.json"] = json.dumps(self.config).encode()
        if self.index is not None:
            files[INDEX] = json.dumps(self.index).encode()
        files |= self.files
        for name, damaged in self.damage:
            if name in files:
                files[name] = damaged(files[name])
        for name, content in files.items():
            (folder / name).write_bytes(content)

    @property
    def names(self) -> list[tuple[str, str]]:
        """File and name of every tensor."""
        return [(file, name) for file, shard in self.shards.items() for name in shard]


@cache
def parts(name: str) -> tuple[Tensors, str]:
    """Return the tensors and the configuration of a sound model."""
    model = tiny_model(**SOUND[name]).float()
    # transformers writes tied ones once.
    tensors = dict(model.named_parameters())
    return {name: value.detach() for name, value in tensors.items()}, model.config.to_json_string(use_diff=False)


def sound(name: str) -> Folder:
    tensors, config = parts(name)
    return Folder({SINGLE: dict(tensors)}, json.loads(config))


def pick(folder: Folder, at: int) -> tuple[str, str]:
    """Return file and name of a tensor."""
    return folder.names[at % len(folder.names)]


def rename(folder: Folder, at: int, name: str) -> None:
    file, old = pick(folder, at)
    folder.shards[file][name] = folder.shards[file].pop(old)


def prefix(folder: Folder, word: str, off: bool) -> None:
    for file, shard in folder.shards.items():
        folder.shards[file] = {n.removeprefix(word) if off else word + n: value for n, value in shard.items()}


def drop(folder: Folder, at: int) -> None:
    file, name = pick(folder, at)
    del folder.shards[file][name]


def add(folder: Folder, at: int, name: str, shape: tuple[int, ...]) -> None:
    folder.shards[pick(folder, at)[0]][name] = torch.ones(shape)


def copy(folder: Folder, at: int, to: int, name: str | None, factor: float) -> None:
    file, old = pick(folder, at)
    value = folder.shards[file][old]
    folder.shards[pick(folder, to)[0]][name or old] = (factor * value.double()).to(value.dtype)


SHAPES: list[Callable[[Tensor], Tensor]] = [
    Tensor.t,
    Tensor.flatten,
    lambda t: t[None],
    lambda t: t[:-1],
    lambda t: t[:0],
]


def reshape(folder: Folder, at: int, way: int) -> None:
    file, name = pick(folder, at)
    value = folder.shards[file][name]
    folder.shards[file][name] = SHAPES[way](value if value.ndim in (1, 2) else value.reshape(-1)).contiguous()


def retype(folder: Folder, at: int | None, dtype: torch.dtype) -> None:
    for file, name in folder.names if at is None else [pick(folder, at)]:
        folder.shards[file][name] = folder.shards[file][name].to(dtype)


def divide(folder: Folder, places: list[int], beside: bool) -> None:
    """Divide into shards; they may lie beside what was there."""
    tensors = {name: value for shard in folder.shards.values() for name, value in shard.items()}
    if not beside:
        folder.shards = {}
    weight_map = {n: f"model-{places[i % len(places)]:05d}-of-00003.safetensors" for i, n in enumerate(tensors)}
    for name, file in weight_map.items():
        folder.shards.setdefault(file, {})[name] = tensors[name].clone()
    folder.index = {"metadata": {}, "weight_map": weight_map}


def map_to(folder: Folder, at: int | str, file: Any) -> None:
    """Say in the index where a tensor is; False: leave it out."""
    if not isinstance(folder.index, dict) or not isinstance(folder.index.get("weight_map"), dict):
        folder.index = {"metadata": {}, "weight_map": {name: file for file, name in folder.names}}
    name = pick(folder, at)[1] if isinstance(at, int) else at
    if file is False:
        folder.index["weight_map"].pop(name, None)
    else:
        folder.index["weight_map"][name] = pick(folder, file)[0] if isinstance(file, int) else file


def index(folder: Folder, content: Any) -> None:
    folder.index = content


def damage(folder: Folder, at: int | None, place: int, put: bytes, rest: bool) -> None:
    """Put bytes at a place of a file (None: of `config.json`), and keep the rest of it or not."""
    file = "config.json" if at is None else pick(folder, at)[0]
    folder.damage.append((file, lambda data: data[:place] + put + (data[place + len(put) :] if rest else b"")))


def configure(folder: Folder, key: str, value: Any) -> None:
    folder.config[key] = value


def forget(folder: Folder, key: str) -> None:
    folder.config.pop(key, None)


def litter(folder: Folder, name: str, content: bytes) -> None:
    folder.files[name] = content
