"""Exports of a checkpoint by hand."""

from pathlib import Path
from typing import Annotated, Any

import typer

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.cli.people import ConfigFile, Directory
from prunescope.config.files import CONFIG_FILE
from prunescope.config.resolve import load_config
from prunescope.config.sections import GGUF_TYPES
from prunescope.steps.export import ExportSpec, GgufExportSpec, GgufSpec, UniformSpec
from prunescope.steps.job import Job

app = typer.Typer(no_args_is_help=True, help="Write a pruned checkpoint in another program's format.")

Text = Annotated[Path | None, typer.Option(help="Text to compare on; default: one that is built in.")]
Checkpoint = Annotated[str | None, typer.Option(help="Folder of the checkpoint in DIR; default: the final one.")]


@app.command()
def gguf(
    directory: Directory,
    type: Annotated[str, typer.Option(help=f"One of {', '.join(GGUF_TYPES)}.")] = "f16",
    config: ConfigFile = CONFIG_FILE,
    text: Text = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Write DIR/export/gguf/{type}.gguf for llama.cpp, compared with the checkpoint."""
    from prunescope.export.steps import export_gguf

    if type not in GGUF_TYPES:
        raise typer.BadParameter(f"'{type}' is no GGUF type here; allowed: {', '.join(GGUF_TYPES)}")
    told = GgufSpec.by(load_config(config).export.gguf, type)
    export_gguf(_job(GgufExportSpec, directory, checkpoint, **dict(told)), text)


@app.command()
def uniform(directory: Directory, text: Text = None, checkpoint: Checkpoint = None) -> None:
    """Write DIR/export/uniform: the checkpoint padded with zeros to a stock one."""
    from prunescope.export.steps import export_uniform

    export_uniform(_job(UniformSpec, directory, checkpoint), text)


def _job(kind: type[ExportSpec], directory: Path, checkpoint: str | None, **told: Any) -> Job[Any, ExperimentFolder]:
    folder, place = ExperimentFolder(directory), directory.absolute()
    checkpoint = checkpoint or folder.final.path.name
    return Job(kind(model=place.parent.name, experiment=place.name, checkpoint=checkpoint, **told), folder, {})
