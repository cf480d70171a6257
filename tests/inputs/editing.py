"""Edits of a checkpoint folder: its tensors, its files, its configuration."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inputs.case import MODEL, Edit
from tiny import save_source, tiny_model

Tensors = dict[str, Tensor]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
HEAD, EMBEDDING, NORM = "lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"
UP = "model.layers.1.mlp.up_proj.weight"
LAYERS = 3
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 4988025760\n"


def made(dtype: torch.dtype = torch.float32, seed: int = 0, **settings: Any) -> Edit:
    """Make the model anew, of other settings (of `tiny_model`)."""

    def edit(project: Path) -> None:
        model = tiny_model(**{"num_hidden_layers": LAYERS} | settings).to(dtype)
        if seed:
            for parameter in model.parameters():
                parameter.mul_(1 + 0.1 * seed)
        save_source(model, project / MODEL)

    return edit


def tied(**settings: Any) -> Edit:
    """Make the model anew, its head tied to its embedding."""
    return made(tie_word_embeddings=True, **settings)


def stored(change: Callable[[Tensors], Tensors | None], file: str = SINGLE, into: str = "") -> Edit:
    """Change the tensors of a file, in place or by returning others; write them to it, or to another file `into`."""

    def edit(project: Path) -> None:
        tensors = load_file(project / MODEL / file)
        changed = change(tensors)
        tensors = tensors if changed is None else changed
        # Tensors may not share memory in a file.
        save_file({k: v.clone().contiguous() for k, v in tensors.items()}, project / MODEL / (into or file), FORMAT)

    return edit


FORMAT = {"format": "pt"}


def renamed(pattern: str, name: str) -> Edit:
    """Rename tensors by a regular expression."""
    return stored(lambda tensors: {re.sub(pattern, name, old): value for old, value in tensors.items()})


def dropped(pattern: str) -> Edit:
    """Leave out the tensors whose names match."""
    return stored(lambda tensors: {name: value for name, value in tensors.items() if not re.search(pattern, name)})


def added(**tensors: Tensor) -> Edit:
    """Add tensors, or put them in the place of others; ``__`` stands for a dot."""
    return stored(lambda known: known | {name.replace("__", "."): value for name, value in tensors.items()})


def changed(pattern: str, change: Callable[[Tensor], Tensor]) -> Edit:
    """Change the tensors whose names match."""
    return stored(lambda known: {name: change(v) if re.search(pattern, name) else v for name, v in known.items()})


def sharded(place: Callable[[str], int] = lambda name: int("layers.1." in name or "layers.2." in name)) -> Edit:
    """Divide the file into shards with an index; `place`: which shard a tensor goes to."""

    def edit(project: Path) -> None:
        folder = project / MODEL
        tensors = load_file(folder / SINGLE)
        (folder / SINGLE).unlink()
        count = max(map(place, tensors)) + 1
        weight_map = {name: f"model-{place(name) + 1:05d}-of-{count:05d}.safetensors" for name in tensors}
        for file in set(weight_map.values()):
            save_file({name: tensors[name] for name in tensors if weight_map[name] == file}, folder / file, FORMAT)
        size = sum(tensor.nbytes for tensor in tensors.values())
        (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))

    return edit


def indexed(change: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change the content of the index, in place or by returning another."""

    def edit(project: Path) -> None:
        content = json.loads((project / MODEL / INDEX).read_text())
        replaced = change(content)
        (project / MODEL / INDEX).write_text(json.dumps(content if replaced is None else replaced))

    return edit


def written(name: str, content: bytes | str | Any, where: str = MODEL) -> Edit:
    """Write a file: bytes, text, or anything else as JSON."""

    def edit(project: Path) -> None:
        path = project / where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        told = content if isinstance(content, bytes | str) else json.dumps(content)
        path.write_bytes(told if isinstance(told, bytes) else told.encode())

    return edit


def moved(name: str, to: str) -> Edit:
    """Rename a file of the model's folder."""

    def edit(project: Path) -> None:
        (project / MODEL / to).parent.mkdir(parents=True, exist_ok=True)
        (project / MODEL / name).rename(project / MODEL / to)

    return edit


def deleted(*patterns: str) -> Edit:
    """Delete files of the model's folder."""

    def edit(project: Path) -> None:
        for pattern in patterns:
            for file in (project / MODEL).glob(pattern):
                file.unlink()

    return edit


def linked(name: str, target: str) -> Edit:
    """Put a symbolic link into the model's folder."""

    def edit(project: Path) -> None:
        (project / MODEL / name).unlink(missing_ok=True)
        (project / MODEL / name).symlink_to(target)

    return edit


def cut_short(name: str, keep: Callable[[bytes], bytes]) -> Edit:
    """Change the bytes of a file."""

    def edit(project: Path) -> None:
        file = project / MODEL / name
        file.write_bytes(keep(file.read_bytes()))

    return edit


def told(file: str = "config.json", without: tuple[str, ...] = (), **values: Any) -> Edit:
    """Change values of `config.json`, or leave some out."""

    def edit(project: Path) -> None:
        path = project / MODEL / file
        content = json.loads(path.read_text()) | values
        path.write_text(json.dumps({name: value for name, value in content.items() if name not in without}))

    return edit
