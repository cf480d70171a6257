"""Archives are read within limits: what unpacks to a thousand times its size is no text and no model."""

from typing import IO, Any
from zipfile import ZipFile

from prunescope.errors import DataError

MEMBERS = 100_000
"""Files in a zip archive."""
LARGEST = 2 * 2**30
"""Bytes of a file in an archive, unless the archive is large itself."""
RATIO = 100
"""How many times larger than the archive its content may be. Text of one kind comes to 20."""


def allowed(stored: int) -> int:
    """Return how many bytes an archive of so many may unpack to."""
    return max(LARGEST, RATIO * stored)


def read_member(archive: ZipFile, name: str, stored: int) -> bytes:
    """Return the content of a file in a zip archive of `stored` bytes; names that lead elsewhere lead nowhere.

    Raises:
        KeyError: it has no such file. DataError: the archive holds too much.
    """
    member = archive.getinfo(name)
    if len(archive.infolist()) > MEMBERS:
        raise DataError(f"it holds {len(archive.infolist()):,} files, more than {MEMBERS:,}")
    if member.file_size > allowed(stored):
        raise DataError(f"{name} unpacks to {member.file_size:,} bytes, more than {allowed(stored):,}")
    with archive.open(member) as content:
        return content.read(member.file_size)


class Bounded:
    """A file that is being unpacked, and that ends in a `DataError` where it holds more than `most` bytes."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file, self.most, self.count = file, most, 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; all of them if it is negative."""
        left = self.most - self.count + 1
        return self._counted(self.file.read(left if size < 0 else min(size, left)))

    def readline(self, size: int) -> bytes:
        """Read a line, or up to `size` bytes of it."""
        return self._counted(self.file.readline(size))

    def peek(self, size: int) -> bytes:
        """Return some bytes that `read` returns again."""
        buffered: Any = self.file
        return buffered.peek(size)

    def _counted(self, content: bytes) -> bytes:
        self.count += len(content)
        if self.count > self.most:
            raise DataError(f"it unpacks to more than {self.most:,} bytes")
        return content
