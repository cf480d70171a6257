"""The command line: one command per step (what the rules call), and a few for people."""

import logging
import os
import signal
import sys

import typer

from prunescope.cli import people, steps
from prunescope.cli.app import app
from prunescope.cli.memory import way_out
from prunescope.errors import PrunescopeError

__all__ = ["app", "main", "people", "steps"]


def main() -> None:
    """Run the command line; what a user can cause is one sentence and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("prunescope").setLevel(logging.INFO)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Bars of other libraries (zero-shot tasks) also go to logs: a line now and then, as ours.
    os.environ.setdefault("TQDM_MININTERVAL", "10")
    # A job that is cancelled should still remove its temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except PrunescopeError as error:
        sys.exit(_fail(error))
    except RuntimeError as error:
        from prunescope.models.memory import out_of_memory

        if not out_of_memory(error):
            raise
        sys.exit(_fail(f"out of memory: {way_out(sys.argv[1])} ({error})"))


def _fail(message: object) -> int:
    typer.secho(f"prunescope: {message}", err=True, fg="red")
    return 1
