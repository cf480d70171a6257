"""What is wrong with the machine and not with this package: a full disk, a folder that may not be written to."""

import errno
import os
from pathlib import Path

AGAIN = "run the same command again: what is finished is kept"
REMEDIES = {
    errno.ENOSPC: f"free some space, and {AGAIN}",
    errno.EDQUOT: f"free some of what this account may use, and {AGAIN}",
    errno.EFBIG: f"raise the largest file that is allowed here (`ulimit -f`), and {AGAIN}",
    errno.EROFS: "put the project on a disk that can be written to, or remount it",
    errno.EACCES: "give this account the right to it, or work in a folder of its own",
    errno.EPERM: "give this account the right to it, or work in a folder of its own",
    errno.EIO: f"see to the disk or the connection to it, and {AGAIN}",
    errno.ESTALE: f"see to the disk or the connection to it, and {AGAIN}",
    errno.ETIMEDOUT: f"see to the disk or the connection to it, and {AGAIN}",
    errno.ENOLCK: f"see to the locks of this file system, or put the project on another one, and {AGAIN}",
    errno.EMFILE: f"raise the number of open files (`ulimit -n`), and {AGAIN}",
    errno.ENFILE: f"raise the number of open files of this machine, and {AGAIN}",
}
"""What to do, by the number that the system gives an error."""


def explain(error: BaseException) -> str | None:
    """Return the sentence for an error of the machine; None for any other."""
    for one in _causes(error):
        if number := _number(one):
            return f"{_place(one)}{os.strerror(number).lower()}: {REMEDIES[number]}"
    return None


def _place(error: BaseException) -> str:
    """Return where it happened, as far as the system says; the folder of a temporary file."""
    file = error.filename if isinstance(error, OSError) else None
    if not isinstance(file, str | os.PathLike):
        return ""
    path = Path(file)
    return f"{path.parent if path.name.startswith('.') else path}: "


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error with those that it came of."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _number(error: BaseException) -> int | None:
    """Return the system's number of an error; writers in other languages say it in words alone."""
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return error.errno
    said = str(error)
    return next((number for number in REMEDIES if os.strerror(number) in said), None)
