"""The one reader of checkpoints: what is measured and what is cut are the same tensors."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel

from prunescope.errors import DataError
from prunescope.models.configuration import load_any_config, skeleton
from prunescope.models.families import FAMILIES, Family, family_name
from prunescope.models.fit import match
from prunescope.models.read_ahead import ReadAhead
from prunescope.models.stored import Stored, TensorReader, stored_tensors

ADAPTER = "adapter_config.json"


class Checkpoint:
    """A folder with the weights of a model, pruned or not, opened by `open_checkpoint`.

    Attributes:
        folder: where it is. config: its configuration.
        skeleton: the model without weights.
        tensors: the stored tensor of every parameter by name, tied ones once, in the order of the model.
    """

    def __init__(self, folder: Path, skeleton: PreTrainedModel, tensors: Mapping[str, Stored]) -> None:
        self.folder, self.skeleton, self.tensors = folder, skeleton, tensors
        self.config = skeleton.config
        self._reader, self._ahead = TensorReader(), ReadAhead()

    @property
    def in_file_order(self) -> list[str]:
        """Names of the parameters in the order in which reading is cheapest."""
        return sorted(self.tensors, key=lambda name: (self.tensors[name].file, name))

    def read(self, name: str) -> Tensor:
        """Return a parameter by name, in its stored dtype.

        Raises:
            DataError: the file has become unreadable.
        """
        return self._reader.read(self.tensors[name])

    def read_ahead(self, names: Iterable[str]) -> None:
        """Begin to bring parameters into the system's page cache, so that `read` need not wait for the disk."""
        self._ahead.begin(self.tensors[name] for name in names)


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Open a checkpoint of one of the `FAMILIES`, pruned or not.

    Names, shapes and dtypes are compared with the configuration; of the files only headers are read.

    Raises:
        DataError: the configuration cannot be used, or the files do not hold its model.
    """
    folder = Path(folder)
    config = load_any_config(folder)
    family = FAMILIES.get(family_name(config.model_type))
    if family is None:
        raise DataError(f"{folder}: models of type '{config.model_type}' cannot be read; known: {', '.join(FAMILIES)}")
    if (folder / ADAPTER).exists():
        raise DataError(
            f"{folder} holds an adapter ({ADAPTER}), which transformers would apply: merge it into its model "
            f"(`merge_and_unload` of peft), or take {ADAPTER} out of the folder to use the model without it"
        )
    tensors = stored_tensors(folder)
    with _of(folder):
        _check_layers(config.num_hidden_layers, tensors, family)
    model = skeleton(config)
    with _of(folder):
        return Checkpoint(folder, model, match(tensors, *_parameters(model)))


@contextmanager
def _of(folder: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"the weights in {folder} are not those of its config.json: {error}") from error.__cause__


def _parameters(model: nn.Module) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return the shape of every parameter, tied ones once, and the other names of tied ones."""
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    names = {name: first[id(parameter)] for name, parameter in model.named_parameters(remove_duplicate=False)}
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    return shapes, {name: other for name, other in names.items() if name != other}


def _check_layers(count: int, tensors: Mapping[str, Stored], family: Family) -> None:
    """Compare the number of layers before a skeleton of any size is built."""
    within = re.compile(rf"(?:.*\.)?{family.layers.removeprefix('model.')}\.(\d+)\.")
    found = {int(layer[1]) for layer in map(within.match, tensors) if layer}
    if not found:
        raise DataError(f"the files hold no '{family.layers}.0', but {next(iter(tensors), 'nothing')!r}")
    if max(found) + 1 != count:
        raise DataError(f"num_hidden_layers is {count}, but the files hold {max(found) + 1} layers")
