"""What one of several jobs of a step found on its windows: sums that add up to what a single job finds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import DataError
from prunescope.files import replacing

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Part:
    """Sums over some windows.

    Attributes:
        sums: float64 tensors by name, of the same shapes in all parts; a part without windows has none.
        tags: device and dtype that they were computed with; none where nothing had to be computed.
        identity: what they are a part of; set by whoever writes them.
    """

    sums: Mapping[str, "Tensor"] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""


def added(parts: Sequence[Part]) -> Part:
    """Add parts up, elementwise.

    Raises:
        DataError: they were computed on devices of different kinds or in different dtypes.
    """
    found = [part.sums for part in parts if part.sums]
    ways = {", ".join(f"{name} {value}" for name, value in sorted(part.tags.items())) for part in parts if part.tags}
    if len(ways) > 1 or len({frozenset(sums) for sums in found}) > 1:
        raise DataError(
            f"the parts do not belong together ({'; '.join(sorted(ways))}): set the dtype of the step in the "
            "configuration, so that it is the same on all machines, and delete what is there of them"
        )
    tags = next((part.tags for part in parts if part.tags), {})
    return Part({name: sum(sums[name] for sums in found) for name in found[0]}, tags)


class Parts:
    """A `Part` as safetensors, with tags and identity in the header."""

    def read(self, path: Path) -> Part:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                sums = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
                told = file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return Part(sums, json.loads(told.get("tags", "{}")), told.get("identity", ""))

    def write(self, path: Path, value: Part) -> None:
        from safetensors.torch import save_file

        told = {"tags": json.dumps(dict(value.tags)), "identity": value.identity}
        with replacing(path) as temporary:
            save_file({name: values.contiguous() for name, values in value.sums.items()}, temporary, told)
