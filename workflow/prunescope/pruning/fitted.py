"""Fitted output projections on disk: a file per layer, so that a refit that is killed goes on from the last one."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from prunescope.artifacts.refit import BlockFit
from prunescope.errors import DataError
from prunescope.files import replacing

if TYPE_CHECKING:  # it needs pydantic, which computing must do without
    from prunescope.artifacts.files import Entry

log = logging.getLogger(__name__)

Weights = dict[str, Tensor]
"""What the output projections keep, ``[d, kept columns]``, by the names of the parameters in the parent."""


class FittedLayers:
    """The layers that a refit has done, in `folder`.

    Attributes:
        identity: what the refit depends on; layers of another one are not taken up.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity

    def find(self, layer: int) -> tuple[Weights, list[BlockFit]] | None:
        """Return the fitted weights of a layer, and how they did; None where it is not done."""
        file = self._file(layer)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as content:
                metadata = content.metadata()
                weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (it is no dict)
        except SafetensorError as error:
            log.warning("%s is damaged (%s) and is not used", file, error)
            return None
        if metadata["identity"] != self.identity:
            log.warning("%s belongs to another refit and is not used", file)
            return None
        return weights, [BlockFit(**fit) for fit in json.loads(metadata["fits"])]

    def keep(self, layer: int, weights: Weights, fits: Sequence[BlockFit]) -> None:
        """Save a layer that is done."""
        metadata = {"identity": self.identity, "fits": json.dumps([asdict(fit) for fit in fits])}
        content = {name: values.cpu().contiguous() for name, values in weights.items()}
        with replacing(self._file(layer)) as temporary:
            save_file(content, temporary, metadata)

    def _file(self, layer: int) -> Path:
        return self.folder / f"layer_{layer}.safetensors"


def load_repaired(repairs: "Iterable[Entry[Path]]") -> Weights:
    """Return the weights that repairs left, mapped from their files; those of a later one in place of an earlier one's.

    Raises:
        DataError: see `load_fitted`.
    """
    weights: Weights = {}
    for repair in repairs:
        weights |= load_fitted(repair.path, repair.file.made_by)
    return weights


def load_fitted(folder: Path, step: str) -> Weights:
    """Return all weights in a folder that a step left, mapped from its files.

    Raises:
        DataError: there is no such folder, or a file of it is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not there; run the step that makes it first: {step}")
    weights: Weights = {}
    for file in sorted(folder.glob("[!.]*.safetensors")):
        try:
            weights |= load_file(file)
        except SafetensorError as error:
            raise DataError(f"{file} is damaged ({error}); delete {folder} and run its step again: {step}") from error
    return weights
