"""Reading and writing of small result files: strict JSON, atomic replacement."""

import glob
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunescope.errors import DataError

LFS_POINTER = b"version https://git-lfs"
"""How a file begins that stands for one which `git lfs pull` has not fetched."""

_last_read: list[Path] = []


def note_read(path: Path) -> None:
    """Note that a file is read, for the sentence about an error that nobody expected."""
    _last_read[:] = [path]


def last_read() -> Path | None:
    """Return the file that was read last, as far as it was noted."""
    return _last_read[-1] if _last_read else None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside `path`; rename it to `path` when the block succeeds.

    A crash leaves the previous `path` (or nothing), never half a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    # The suffix survives because some writers (matplotlib, pandas) choose the format by it.
    temporary = path.with_name(f"{_temporary(path)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory beside `path`; rename it to `path` when the block succeeds."""
    with scratch(path) as temporary:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory beside `path`; it is deleted, by the next process if this one is killed."""
    temporary = path.with_name(_temporary(path))
    _sweep(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp"


def _sweep(path: Path) -> None:
    """Delete what killed processes of this host left beside `path`.

    One that lives is still writing, and whether one of another host does, only that host knows.
    """
    own = re.compile(re.escape(f".{path.name}.{socket.gethostname()}.") + r"(\d+)\.tmp.*")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp*"):
        pid = own.fullmatch(left.name)
        # Numbers come again, in containers often: our own one was another process's.
        if pid and (int(pid[1]) == os.getpid() or not _runs(int(pid[1]))):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def expanded(path: str) -> str:
    """Return a path with `~` replaced by the home folder; that of an unknown user stays as it is."""
    return os.path.expanduser(path)  # noqa: PTH111 (pathlib raises there, and tidies the rest of the path)


def is_file(path: Path) -> bool:
    """Return whether a file is there; what may not be looked at, or has too long a name, is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there; what may not be looked at, or has too long a name, is not."""
    try:
        return path.is_dir()
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, UTF-8, creating parent directories."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (NaN and Infinity raise ``ValueError``) atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is not there, is no JSON, or names a thing twice.
    """
    note_read(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is not there; run the step that makes it first") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); delete it and run its step again") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse two values under one key, of which a reader would take the last without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return content
