"""The front door: what a person has on the command line becomes a configuration file and one plain command."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from prunescope.artifacts.folders import RESULTS
from prunescope.config.files import CONFIG_FILE, Origin, read_config_file
from prunescope.config.names import write_number
from prunescope.config.patches import Patch, differences, merge
from prunescope.config.places import HUB, no_text_files
from prunescope.config.resolve import load_config, parse_config, resolve
from prunescope.config.sections import Config
from prunescope.config.sections.sources import text_files
from prunescope.criteria import AUTO, CRITERIA
from prunescope.errors import ConfigError, did_you_mean
from prunescope.files import is_file, write_text

FOLDER = Path("config/my")
"""Where the configuration files are written."""
HEADER = "# Written by `prunescope prune`; yours to change (config/README.md explains each key). It is used by\n# {}\n"


def prune(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, an id on the hub, or a name in config.yaml.")],
    files: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    percent: Annotated[float, typer.Option(help="Of all parameters, to remove.")] = 20,
    text: Annotated[
        str, typer.Option(help="To calibrate and test on: .txt, .jsonl or .parquet files, a folder, or a name.")
    ] = "c4",
    criterion: Annotated[str, typer.Option(help=f"{AUTO}: search for the best setting; or one criterion.")] = AUTO,
    cores: Annotated[str, typer.Option(help="As Snakemake takes it.")] = "all",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would run.")] = False,
) -> None:
    """Prune a model: write the few lines of configuration that it needs, and run the workflow with them."""
    config = load_config()
    how = f"{_how(criterion)}_{_percent(percent)}"
    name, models = _model(config, model)
    dataset, overlay = _text(config, name, [text, *(files or [])])
    overlay, experiment = merge(models, overlay), f"{how}_{dataset}"
    own = FOLDER / f"{name}_{dataset}.yaml" if overlay else None
    told = read_config_file(CONFIG_FILE)
    resolve(parse_config(merge(told, overlay), Origin({str(own or CONFIG_FILE): overlay})), name, experiment)
    options = ["--cores", cores, *(["--configfile", str(own), "--"] if own else [])]
    command = ["snakemake", *options, f"{RESULTS}/{name}/{experiment}"]
    if own:
        _write(own, overlay, shlex.join(command))
    typer.echo(shlex.join(command))
    command[1:1] = ["--dry-run"] if dry_run else []
    # Beside this Python, as a person may not have activated the environment. It takes this process's place: signals and
    # the exit code are its own.
    os.execv(Path(sys.executable).with_name("snakemake"), command)


def _model(config: Config, model: str) -> tuple[str, Patch]:
    """Return the name of a model, and what declares it where the configuration does not yet."""
    if model in config.models:
        return model, {}
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not is_file(folder / "config.json"):
            raise ConfigError(f"{model}: no config.json there; name a folder with a Hugging Face checkpoint")
        source = {"path": str(folder.resolve())}
    elif HUB.fullmatch(model) and not model.startswith("."):
        source = {"hub": model}
    else:
        raise ConfigError(
            f"'{model}' is no folder here, no model of {CONFIG_FILE} ({', '.join(config.models)}) and no id on the hub "
            "(owner/name)"
        )
    for name, known in config.models.items():
        local = known.path and str(Path(known.path).resolve())
        if source in ({"path": local}, {"hub": not local and known.hub}):
            return name, {}
    name = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "", folder.resolve().name if "path" in source else folder.name)
    name = f"my-{name}" if name in config.models else name
    return name, {"models": {name: source}}


def _text(config: Config, model: str, words: Sequence[str]) -> tuple[str, Patch]:
    """Return the name of a text, and what declares it, as text to calibrate and test on, if it is not known yet."""
    if len(words) == 1 and words[0] in config.datasets:
        return words[0], {}
    pattern = _pattern(words)
    if not text_files(pattern):
        known = f"; known by name: {', '.join(config.datasets)}" if len(words) == 1 else ""
        raise ConfigError(f"--text {' '.join(words)}: {no_text_files(pattern)}{known}")
    stem = Path(pattern.partition("*")[0]).stem or "text"
    name = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-") or "text"
    name = f"my-{name}" if name in config.datasets else name
    settings = {"evaluation": {"datasets": [name]}}
    return name, {"datasets": {name: {"local": pattern}}, "models": {model: {"settings": settings}}}


def _pattern(words: Sequence[str]) -> str:
    """Return the glob of a file, of all files in a folder, or of files that a shell made of a glob."""
    paths = [Path(word).expanduser().absolute() for word in words]
    if len(paths) > 1:
        folder, suffix = paths[0].parent, paths[0].suffix
        if {*paths} == {*folder.glob(f"*{suffix}")}:
            return str(folder / f"*{suffix}")
        raise ConfigError(
            f"--text {' '.join(words)}: several files must be all {suffix or 'text'} files of one folder; put "
            "them into one, and name that"
        )
    return str(paths[0] / "**/*") if paths[0].is_dir() else str(paths[0])


def _how(criterion: str) -> str:
    if criterion != AUTO and criterion not in CRITERIA:
        raise ConfigError(f"--criterion {criterion}: {did_you_mean(criterion, [AUTO, *CRITERIA])}")
    return criterion if criterion == AUTO else f"{criterion}_T0"


def _percent(percent: float) -> str:
    if not 0 < percent < 100:
        raise ConfigError(f"--percent {percent:g}: allowed: above 0, below 100, of all parameters")
    return write_number(percent)


def _write(path: Path, overlay: Patch, command: str) -> None:
    """Write a configuration file, or leave the one that says the same and perhaps more.

    Raises:
        ConfigError: there is one that says something else.
    """
    if path.exists():
        there = read_config_file(path)
        for where, old, new in differences(there, merge(there, overlay)):
            raise ConfigError(f"{path} is there and says {where} = {old!r}, not {new!r}; change or delete it")
        typer.echo(f"{path} is there and stays as it is")
        return
    write_text(path, HEADER.format(command) + yaml.safe_dump(overlay, sort_keys=False))
    typer.echo(f"{path} is written: it declares what {CONFIG_FILE} does not know yet")
