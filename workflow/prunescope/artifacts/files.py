"""How a file of an experiment is declared, and how it is read and written.

A folder is a class; each of its files is one declaration in it::

    class ExperimentFolder(Folder):
        plan = File("analysis/plan.json", Json(PlanFile), step="importance", about="what is cut")

    folder = ExperimentFolder(Path("results/M/E"))
    folder.plan.read()        # a PlanFile
    ExperimentFolder.plan     # the declaration: path, step, what it holds
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from pydantic import ValidationError

from prunescope.errors import DataError
from prunescope.files import note_read, replacing

T = TypeVar("T")


class Format(Protocol[T]):
    """How the content of a file is read (`ValueError`: it is damaged) and written (whole or not at all)."""

    def read(self, path: Path) -> T: ...
    def write(self, path: Path, value: T) -> None: ...


def _reason(error: ValueError | RecursionError) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first, *others = error.errors(include_url=False)
    place = ".".join(map(str, first["loc"]))
    more = f" (and {len(others)} more)" if others else ""
    return (f"{place}: " if place else "") + first["msg"] + more


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A file of one folder on the disk; `step`: which task left it, where several leave one."""

    file: "File[T]"
    path: Path
    step: str = ""

    def exists(self) -> bool:
        return self.path.exists()

    def read(self) -> T:
        """Return the content.

        Raises:
            DataError: the file is not there or is damaged; names the first wrong field and the step that makes it.
        """
        path, step = self.path, self.step or self.file.made_by
        note_read(path)
        try:
            return self.file.format.read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"{path} is not there; run the step that makes it first: {step}") from None
        except OSError as error:
            raise DataError(f"{path}, a file of the step {step}, cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {_reason(error)}; delete it and run its step again: {step}") from error

    @contextmanager
    def complete(self) -> Iterator[None]:
        """Take a value that the content lacks in the block, or that is of another kind there, for damage of the file.

        Raises:
            DataError: there is one.
        """
        try:
            yield
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{self.path} is damaged: {said}; delete it and run its step again: {self.step or self.file.made_by}"
            ) from error

    def copy(self, other: "Entry[T]") -> None:
        """Write the bytes of another file, atomically.

        Raises:
            DataError: the other file is not there or is damaged.
        """
        other.read()
        with replacing(self.path) as temporary:
            shutil.copyfile(other.path, temporary)

    def write(self, value: T) -> None:
        """Write the content atomically, and the folders above it."""
        self.file.format.write(self.path, value)


@dataclass(eq=False)
class File(Generic[T]):
    """A file (or a folder) that a step leaves.

    Attributes:
        path: below its folder; may hold wildcards, such as ``records/{step}.json``.
        format: how it is read and written. step: the step that leaves it, unless
            it is the folder's. about: what it is, for ``docs/files.md``.
        always: whether the step leaves it each time it runs.
        name, owner: set by the class that declares it.
    """

    path: str
    format: Format[T]
    step: str = ""
    about: str = ""
    always: bool = True
    name: str = field(default="", init=False)
    owner: "type[Folder]" = field(init=False, repr=False)

    def __set_name__(self, owner: "type[Folder]", name: str) -> None:
        self.owner, self.name = owner, name

    @overload
    def __get__(self, folder: None, owner: "type[Folder]") -> "File[T]": ...
    @overload
    def __get__(self, folder: "Folder", owner: "type[Folder]") -> Entry[T]: ...
    def __get__(self, folder: "Folder | None", owner: "type[Folder]") -> "File[T] | Entry[T]":
        return self if folder is None else Entry(self, folder.path / self.path)

    @property
    def made_by(self) -> str:
        """Return the step that leaves the file."""
        return self.step or self.owner.step

    @property
    def pattern(self) -> str:
        """Return the path with the wildcards of its folder, as a rule of Snakemake spells it."""
        return f"{self.owner.pattern}/{self.path}"


@dataclass(frozen=True)
class Folder:
    """A folder whose files are declared in its class."""

    path: Path
    pattern: ClassVar[str]
    step: ClassVar[str] = ""

    @classmethod
    def files(cls) -> dict[str, File[Any]]:
        """Return the declared files by name, those of the classes above first."""
        found: dict[str, File[Any]] = {}
        for kind in reversed(cls.__mro__):
            found |= {name: value for name, value in vars(kind).items() if isinstance(value, File)}
        return found

    def named(self, file: File[T], **wildcards: str) -> Entry[T]:
        """Return a file whose path has wildcards: ``folder.named(ExperimentFolder.record, step="pruning")``."""
        return Entry(file, self.path / file.path.format(**wildcards), wildcards.get("step", ""))
