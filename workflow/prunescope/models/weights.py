"""Single tensors of a checkpoint folder."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from prunescope.errors import DataError


class WeightReader:
    """Reads single tensors out of a checkpoint folder, whichever shard they are in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = self._find_shards()
        self.stack = ExitStack()
        self.open: dict[str, Any] = {}

    def _find_shards(self) -> dict[str, str] | None:
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            return json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return None

    def __enter__(self) -> "WeightReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def read(self, name: str) -> torch.Tensor:
        """Return a parameter by name, in its stored dtype."""
        shard = "model.safetensors" if self.shards is None else self.shards.get(name)
        if shard is None:
            raise DataError(f"{self.folder} has no parameter '{name}' (model.safetensors.index.json)")
        try:
            if shard not in self.open:
                self.open[shard] = self.stack.enter_context(safe_open(self.folder / shard, framework="pt"))
            return self.open[shard].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{self.folder / shard} cannot be read ({error}); the file is damaged or incomplete: fetch it again"
            ) from error
