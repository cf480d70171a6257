"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

SPEC_HELP = "What to do: one line of JSON, or the name of a file that holds it."

Directory = Annotated[Path, typer.Argument(help="results/{model}/{experiment}")]
ConfigFile = Annotated[Path, typer.Option("--config", help="Configuration file.")]
