"""The command that every rule calls."""

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.options import SPEC_HELP
from prunescope.steps.table import TABLE


def run(
    step: Annotated[str, typer.Argument(help=f"One of {', '.join(TABLE)}.")],
    folder: Annotated[Path, typer.Argument(help="Where its files are: results/{model}/_shared/{step}/{key}, ...")],
    spec: Annotated[str, typer.Option(help=SPEC_HELP)],
) -> None:
    """Run a step of the pipeline: what the rules call. A line of a log can be run again."""
    from prunescope.steps.job import run as run_step

    run_step(step, folder, spec)
