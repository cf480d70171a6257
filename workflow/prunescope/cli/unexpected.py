"""Errors that nobody expected: one sentence on the terminal, and the traceback in a file."""

import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from prunescope.config.files import CONFIG_FILE
from prunescope.files import last_read, write_text
from prunescope.steps.step import LOGS
from prunescope.steps.table import TABLE
from prunescope.tracking.store import ENVIRONMENT, redact

SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|CREDENTIAL|API_?KEY")
"""In the names of environment variables that hold one."""


class Commands(TyperGroup):
    """The commands. None of them asks anything, so that an `EOFError` is of a file that ends early."""

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except EOFError as error:  # typer would say "Aborted." and no more
            raise RuntimeError(f"a file ends early: {error}") from error


def describe(error: BaseException, command: str) -> str:
    """Write the traceback of an error to a file; return the sentence with its cause and where the file is.

    Args:
        command: what was run, see `command_of`.
    """
    said = str(error).strip().splitlines()
    cause = f"{type(error).__name__}{f': {said[0]:.200}' if said else ''}"
    path = last_read()
    parts = [f"{cause}, which nobody expected, in {command}"]
    parts += [f"the last file that was read is {path}"] if path else []
    parts += [f"the full text is in {_write(error, command, path)}; please report it"]
    return without_secrets("; ".join(parts))


def command_of(arguments: list[str]) -> str:
    """Return the step or the command that a command line names; what else is on it may be secret."""
    names = [argument for argument in arguments[1:] if not argument.startswith("-")]
    if names[:1] == ["run"] and len(names) > 1 and names[1] in TABLE:
        return f"the step {names[1]}"
    return f"`prunescope {names[0]}`" if names else "`prunescope`"


def without_secrets(text: str) -> str:
    """Return text without what is secret in the environment, and without users and passwords of addresses."""
    if uri := os.environ.get(ENVIRONMENT):
        text = text.replace(uri, redact(uri))
    for name, value in os.environ.items():
        if value and SECRET.search(name):
            text = text.replace(value, f"({name})")
    return re.sub(r"(\w://)[^/\s@]+@", r"\1", text)


def _write(error: BaseException, command: str, path: Path | None) -> Path:
    """Write what a report of the mistake needs: in a project below `LOGS`, elsewhere to a temporary folder."""
    text = f"{command}\nlast file read: {path}\npython {sys.version.split()[0]}\n\n"
    text = without_secrets(text + "".join(traceback.format_exception(error)))
    name = f"{command.strip('`').split()[-1]}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    temporary = Path(tempfile.gettempdir())
    for folder in [Path(LOGS, "unexpected")] * CONFIG_FILE.is_file() + [temporary]:
        try:
            write_text(folder / name, text.encode("utf-8", "backslashreplace").decode("utf-8"))
        except OSError:
            continue
        return folder / name
    sys.stderr.write(text)
    return Path("the lines above")
