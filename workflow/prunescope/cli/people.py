"""The commands for people, and the one for the rules."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.files import CONFIG_FILE
from prunescope.config.resolve import COMPARISON, load_config
from prunescope.confine import confine
from prunescope.errors import DataError, did_you_mean
from prunescope.steps.diagnosis import FIGURES, BeforeAfterSpec
from prunescope.steps.table import TABLE

NO_RESULTS = "no experiment here yet; run this in the project's folder, after snakemake --cores all"

Directory = Annotated[Path, typer.Argument(help="results/{model}/{experiment}, or a file in it")]
ConfigFile = Annotated[Path, typer.Option("--config", help="Configuration file.")]


def track(
    directory: Annotated[
        Path | None, typer.Argument(help="results/{model}/{experiment}, or results/{model}/comparison/{sweep}")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything finished under results/.")] = False,
    config: ConfigFile = CONFIG_FILE,
    uri: Annotated[str | None, typer.Option(help="MLflow store; default: the configuration's.")] = None,
) -> None:
    """Bring MLflow level with the records of one experiment or comparison, or of all."""
    from prunescope.tracking.track import track_all, track_one

    uri = uri or load_config(config).tracking.uri
    if everything:
        counts = track_all(Path(), uri)
        typer.echo(", ".join(f"{count} {change}" for change, count in counts.items()))
        raise typer.Exit(1 if counts["broken"] else 0)
    if directory is None:
        raise typer.BadParameter("give results/{model}/{experiment} or --all")
    compared = next((folder for folder in (directory, *directory.parents) if folder.parent.name == COMPARISON), None)
    track_one(compared or ExperimentFolder.containing(directory).path, uri)


def ui(
    model: Annotated[str | None, typer.Argument(help="Whose runs; default: those that were tracked last.")] = None,
    config: ConfigFile = CONFIG_FILE,
    port: int = 5000,
) -> None:
    """Start the MLflow UI on loopback and print the link to the runs table of a model."""
    from prunescope.tracking.ui import serve

    serve(load_config(config).tracking.uri, port, model)


def diagnose(
    directory: Annotated[Path | None, typer.Argument(help="results/{model}/{experiment}")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All findings, and a command for each remedy.")] = False,
    statistics: Annotated[
        Path | None, typer.Option(help="Replay: statistics of |gradient|, by layer or parameter.")
    ] = None,
    rates: Annotated[Path | None, typer.Option(help="Replay: what each layer lost, as JSON or CSV.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Replay: name of the model, for the commands; rates as JSON say it.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Replay: name of the experiment, which declares settings; rates as JSON say it.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Replay: configuration with the thresholds.")] = None,
    output: Annotated[Path | None, typer.Option(help="Replay: write the report as JSON too.")] = None,
    language: Annotated[Literal["en", "zh"] | None, typer.Option(help="Replay: language of the report.")] = None,
) -> None:
    """Print what came of an experiment, with --all its whole diagnosis; or diagnose numbers (--statistics, --rates)."""
    from prunescope.artifacts.diagnosis import DiagnosisReport
    from prunescope.artifacts.formats import Json
    from prunescope.config.sections import Diagnosis
    from prunescope.diagnosis.report import replay
    from prunescope.reporting.console import print_report
    from prunescope.reporting.story import story

    if statistics and rates:
        thresholds = load_config(config).diagnosis if config else Diagnosis()
        names = {"model": model or "model", "experiment": experiment or "replay"}
        judgement = replay(statistics, rates, thresholds, language or "en", **names)
        if output is not None:
            Json(DiagnosisReport).write(output, judgement.report)
        context = judgement.situation.context
        print_report(judgement.report, f"{context.model} / {context.experiment}")
    elif directory is None:
        raise typer.BadParameter("give results/{model}/{experiment}, or --statistics and --rates")
    elif any((model, experiment, config, output, language)):
        raise typer.BadParameter(
            "these options are for --statistics and --rates; the report of an experiment follows its configuration "
            "(report.language, diagnosis)"
        )
    else:
        folder = ExperimentFolder.containing(directory)
        typer.echo(story(folder))
        if everything:
            typer.echo()
            print_report(folder.diagnosis.read(), str(folder.diagnosis.path))


def apply(
    plan: Annotated[Path, typer.Argument(help="A plan.json, edited by hand perhaps.")],
    like: Annotated[Path, typer.Option(help="results/{model}/{experiment} that the plan came from.")],
    output: Annotated[Path, typer.Option(help="A new folder, for the summary and the checkpoint.")],
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Measure its perplexity, on the same windows.")] = False,
) -> None:
    """Cut a model by a plan: summary and checkpoint, without gradients or selection."""
    from prunescope.evaluation.steps import evaluate_like
    from prunescope.pruning.apply import apply_plan

    source, made = ExperimentFolder.containing(like), ExperimentFolder(output)
    apply_plan(plan, source, made)
    if evaluate:
        evaluate_like(source, made)


def verify(directory: Directory, config: ConfigFile = CONFIG_FILE) -> None:
    """Prove that the written model and its exports equal its parent with the removed groups silenced, or fail."""
    from prunescope.export.checks import print_checks
    from prunescope.export.verify import verify

    checks = verify(ExperimentFolder.containing(directory), load_config(config).export.gguf)
    print_checks(checks)
    raise typer.Exit(1 if any(check.failed for check in checks) else 0)


def compare(
    directories: Annotated[list[Path], typer.Argument(help="results/{model}/{experiment} ...")],
    everything: Annotated[bool, typer.Option("--all", help="All numbers, and the settings that differ.")] = False,
    markdown: Annotated[bool, typer.Option(help="Print Markdown, all of it.")] = False,
) -> None:
    """Say which setting the numbers of experiments recommend, and print them side by side."""
    from prunescope.reporting.comparison.frame import find_experiments, read_comparison
    from prunescope.reporting.comparison.show import print_comparison

    found = find_experiments(directories)
    unfinished = [str(folder.path) for folder in found if not folder.measured]
    compared = read_comparison(folder.path for folder in found if folder.measured)
    print_comparison(compared, markdown, everything, unfinished)


def list_(
    model: Annotated[str, typer.Argument(help="Whose experiments; default: those of all models.")] = "*",
) -> None:
    """List the experiments in results/, the least damaged first: what was removed, and perplexity before and after."""
    from prunescope.reporting.story import overview

    found = ExperimentFolder.all(model)
    if not found:
        models = sorted({folder.path.parent.name for folder in ExperimentFolder.all()})
        raise DataError(f"no experiment of '{model}' here; {did_you_mean(model, models)}" if models else NO_RESULTS)
    typer.echo(overview(found))


def plot(
    directory: Directory,
    name: Annotated[str, typer.Argument(help=f"One of {', '.join((*FIGURES, BeforeAfterSpec.step))}.")],
    reference: Annotated[
        str | None,
        typer.Option(help="For before_after: an experiment beside this one; default: the configured report.reference."),
    ] = None,
) -> None:
    """Draw one of the experiment's figures, as PNG and SVG."""
    from prunescope.reporting.figures import draw

    draw(ExperimentFolder.containing(directory), name, reference)


def page(directory: Directory) -> None:
    """Write the experiment's page again, with what was made on request since."""
    from prunescope.reporting.page import refresh_page

    refresh_page(ExperimentFolder.containing(directory))


def times(
    directory: Directory, since: Annotated[float | None, typer.Option(help="Unix time when the run began.")] = None
) -> None:
    """Print where the time of an experiment went, step by step."""
    from prunescope.runs.times import print_times

    print_times(ExperimentFolder.containing(directory), since)


def doctor(
    targets: Annotated[
        list[str] | None, typer.Argument(help="What is to run, as after `snakemake`; default: the configured targets.")
    ] = None,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="An overlay, as Snakemake takes it; may be given several times.")
    ] = None,
) -> None:
    """Say what the targets need and this machine lacks, and what to do; exit code 1 where something is missing."""
    from prunescope.runs.checks import print_checks
    from prunescope.runs.doctor import examine

    checks = examine(targets or [], configfile or [])
    print_checks(checks)
    missing = [check.name for check in checks if check.status == "missing"]
    typer.echo(f"Missing: {', '.join(missing)}." if missing else "Nothing is missing for what is to run.")
    raise typer.Exit(1 if missing else 0)


def run(
    step: Annotated[str, typer.Argument(help=f"One of {', '.join(TABLE)}.")],
    folder: Annotated[Path, typer.Argument(help="Where its files are: results/{model}/_shared/{step}/{key}, ...")],
    spec: Annotated[str, typer.Option(help="What to do: one line of JSON, or the name of a file that holds it.")],
) -> None:
    """Run a step of the pipeline: what the rules call. A line of a log can be run again."""
    from prunescope.steps.job import run as run_step

    confine(step, network=step not in TABLE or TABLE[step].network)
    run_step(step, folder, spec)


def reference() -> None:
    """Write config/README.md, workflow/schemas/config.schema.yaml, docs/files.md and docs/cli.md anew."""
    from prunescope.artifacts import reference as files
    from prunescope.cli import app
    from prunescope.cli import reference as commands
    from prunescope.config import reference as config
    from prunescope.files import write_text

    write_text(config.README, config.render_readme())
    write_text(config.SCHEMA, config.render_schema())
    write_text(files.PAGE, files.render_files())
    write_text(commands.PAGE, commands.render_commands(app))


COMMANDS = (doctor, diagnose, list_, compare, plot, verify, apply, page, times, track, ui, reference)
