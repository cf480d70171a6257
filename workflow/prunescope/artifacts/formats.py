"""The kinds of files: JSON of one class, tables, tensors, text, and what other programs write."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter

from prunescope.files import replacing, write_json, write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


T = TypeVar("T")


class Json(Generic[T]):
    """Strict JSON of one class: a `Document`, a pydantic dataclass, or a dictionary of them."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind

    @cached_property
    def adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self.kind)

    def read(self, path: Path) -> T:
        return self.adapter.validate_json(path.read_bytes())

    def write(self, path: Path, value: T) -> None:
        write_json(path, self.adapter.dump_python(value, mode="json", exclude_unset=True))


@dataclass(frozen=True)
class Column:
    """A column of a table; a name with braces, such as ``perplexity {text}``, stands for several columns."""

    name: str
    type: str = ""
    about: str = ""


class Table:
    """A pandas frame as Parquet or CSV, by the suffix of the file."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns

    def read(self, path: Path) -> "pd.DataFrame":
        import pandas as pd

        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        for column in self.columns:
            if "{" not in column.name and column.name not in table:
                raise ValueError(f"no column '{column.name}'")
        return table

    def write(self, path: Path, value: "pd.DataFrame") -> None:
        with replacing(path) as temporary:
            if path.suffix == ".csv":
                value.to_csv(temporary, index=False)
            else:
                value.to_parquet(temporary, index=False)


def _loaded(load: Callable[[Path], dict[str, T]], path: Path) -> dict[str, T]:
    """Return the tensors of a file; that it is damaged is a ``ValueError``, as in the other formats."""
    from safetensors import SafetensorError

    try:
        return load(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


class Tensors:
    """Safetensors, as PyTorch tensors by name; `about`: names, shapes and dtypes."""

    def __init__(self, about: str) -> None:
        self.about = about

    def read(self, path: Path) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        return _loaded(load_file, path)

    def write(self, path: Path, value: "dict[str, torch.Tensor]") -> None:
        from safetensors.torch import save_file

        with replacing(path) as temporary:
            save_file(value, temporary)


class Arrays(Tensors):
    """Safetensors as numpy arrays: for steps that need no torch."""

    def read(self, path: Path) -> "dict[str, np.ndarray]":
        from safetensors.numpy import load_file

        return _loaded(load_file, path)

    def write(self, path: Path, value: "dict[str, np.ndarray]") -> None:
        from safetensors.numpy import save_file

        with replacing(path) as temporary:
            save_file(value, temporary)


class Text:
    """UTF-8 text."""

    def read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")

    def write(self, path: Path, value: str) -> None:
        write_text(path, value)


class AnyJson:
    """JSON whose keys are somebody else's."""

    def read(self, path: Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))

    def write(self, path: Path, value: Any) -> None:
        write_json(path, value)


class Opaque:
    """A file or folder that a library writes and reads: checkpoints, figures, GGUF."""

    def read(self, path: Path) -> Path:
        return path

    def write(self, path: Path, value: Path) -> None:
        raise TypeError(f"{path} is written by the library that owns its format")
