"""The kinds of files: JSON of one class, tables, tensors, text, and what other programs write."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from prunescope.files import replacing, write_json, write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


class Document(BaseModel):
    """Base of what a JSON file holds. What is unknown or undefined is None: strict JSON has no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


D = TypeVar("D", bound=BaseModel)


class Json(Generic[D]):
    """Strict JSON of one class."""

    def __init__(self, kind: type[D]) -> None:
        self.kind = kind

    def read(self, path: Path) -> D:
        return self.kind.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, path: Path, value: D) -> None:
        write_json(path, value.model_dump(mode="json", by_alias=True))


class Table:
    """A pandas frame as Parquet or CSV, by the suffix of the file; `columns`: name -> what it holds."""

    def __init__(self, **columns: str) -> None:
        self.columns = columns

    def read(self, path: Path) -> "pd.DataFrame":
        import pandas as pd

        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)

    def write(self, path: Path, value: "pd.DataFrame") -> None:
        with replacing(path) as temporary:
            if path.suffix == ".csv":
                value.to_csv(temporary, index=False)
            else:
                value.to_parquet(temporary, index=False)


class Tensors:
    """Safetensors, as PyTorch tensors by name; `about`: names, shapes and dtypes."""

    def __init__(self, about: str) -> None:
        self.about = about

    def read(self, path: Path) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        return load_file(path)

    def write(self, path: Path, value: "dict[str, torch.Tensor]") -> None:
        from safetensors.torch import save_file

        with replacing(path) as temporary:
            save_file(value, temporary)


class Arrays(Tensors):
    """Safetensors as numpy arrays: for steps that need no torch."""

    def read(self, path: Path) -> "dict[str, np.ndarray]":  # type: ignore[override]
        from safetensors.numpy import load_file

        return load_file(path)

    def write(self, path: Path, value: "dict[str, np.ndarray]") -> None:  # type: ignore[override]
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
