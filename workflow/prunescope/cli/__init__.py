"""The command line: `prunescope run STEP` for the rules, and commands for people."""

import errno
import logging
import os
import signal
import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from prunescope.cli import export, people, prune, trouble, unexpected
from prunescope.environment import DEBUG, switch
from prunescope.errors import PrunescopeError
from prunescope.progress import WARNING
from prunescope.steps.table import TABLE

app = typer.Typer(
    cls=unexpected.Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (prune.prune, *people.COMMANDS):
    app.command(command.__name__.rstrip("_"), rich_help_panel="For people")(command)
app.add_typer(export.app, name="export", rich_help_panel="For people")
app.command(rich_help_panel="For the rules")(people.run)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"prunescope {version('prunescope')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
]


@app.callback()
def options(version: VersionOption = False) -> None:
    """The command line: `run` for the rules, the rest for people."""


def main() -> None:
    """Run the command line; whatever goes wrong is one sentence and exit code 1."""
    logging.basicConfig(level=logging.WARNING, handlers=[handler := logging.StreamHandler(sys.stderr)])
    handler.setFormatter(OwnWarnings())
    logging.getLogger("prunescope").setLevel(logging.INFO)
    warnings.simplefilter("ignore", FutureWarning)  # of names that transformers and peft will change
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "true",
        # Huge pages for torch: to map small ones took a CPU half of a layered pass over a 7B, and now a third.
        "THP_MEM_ALLOC_ENABLE": "1",
        # Bars of other libraries tear logs. The zero-shot tasks have theirs all the same: a line now and then, as ours.
        "TQDM_DISABLE": "1",
        "TQDM_MININTERVAL": "10",
    }.items():
        os.environ.setdefault(name, value)
    # A job that is cancelled should still remove its temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        debug = switch(DEBUG)
        app()
    except PrunescopeError as error:
        sys.exit(_fail(error))
    except Exception as error:
        if _out_of_memory(error):
            sys.exit(_fail(f"out of memory: {_way_out(sys.argv)} ({error})"))
        if debug:
            raise
        if said := trouble.explain(error):
            sys.exit(_fail(unexpected.without_secrets(said)))
        sys.exit(_fail(unexpected.describe(error, unexpected.command_of(sys.argv))))


class OwnWarnings(logging.Formatter):
    """Marks our own warnings, which a run shows to the person; those of libraries stay in the log of their step."""

    def format(self, record: logging.LogRecord) -> str:
        own = record.name.startswith("prunescope") and record.levelno >= logging.WARNING
        return (WARNING if own else "") + super().format(record)


def _out_of_memory(error: Exception) -> bool:
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if "can't start new thread" in str(error):
        return True
    from prunescope.models.memory import out_of_memory

    return out_of_memory(error)


def _way_out(arguments: list[str]) -> str:
    """Return what to do when a command runs out of memory."""
    step = arguments[2] if arguments[1:2] == ["run"] else ""
    return TABLE[step].out_of_memory if step in TABLE else "free the machine of other work, or take a larger one"


def _fail(message: object) -> int:
    typer.secho(f"prunescope: {message}", err=True, fg="red")
    return 1
