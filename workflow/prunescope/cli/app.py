"""The command line as a whole; `steps` and `people` add their commands to it."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="The command line: one command per step (what the rules call), and a few for people.",
)
