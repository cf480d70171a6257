"""The evaluation steps: perplexity before and after, on the same windows, and how they compare."""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from prunescope.artifacts.folders import BaselineFolder, EvaluationTextFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED
from prunescope.artifacts.parts import Part
from prunescope.artifacts.perplexity import (
    EvaluationSettings,
    IntervalSettings,
    Perplexity,
    PerplexityReport,
    Ratio,
    Ratios,
    RecoveredReport,
    Results,
    changes,
    longest,
    shown,
)
from prunescope.artifacts.record import StepRecord
from prunescope.config.protocols import Protocol
from prunescope.data.documents import SEPARATOR
from prunescope.errors import DataError
from prunescope.evaluation import bootstrap
from prunescope.evaluation.hardware import describe_hardware
from prunescope.evaluation.perplexity import WindowLosses, measure_rows, scored_tokens, summarise, tokens_read
from prunescope.evaluation.words import go_on, prompts_of
from prunescope.models.loading import compute_tags, default_device, load_model
from prunescope.progress import Progress
from prunescope.shards import Shard
from prunescope.steps.evaluation import BaselineSpec, EvaluationSpec
from prunescope.steps.job import Job
from prunescope.steps.recovery import RecoveredSpec

log = logging.getLogger(__name__)

T = TypeVar("T")
EvaluationJob = (
    Job[BaselineSpec, BaselineFolder] | Job[EvaluationSpec, ExperimentFolder] | Job[RecoveredSpec, ExperimentFolder]
)

WINDOW = ["dataset", "protocol", "window", "tokens"]


def evaluate_baseline(job: Job[BaselineSpec, BaselineFolder]) -> None:
    """Measure the unpruned model; write its perplexities and its losses by window."""
    facts = job.input(ModelFolder).ready()
    with job.recording(job.spec.model_dump(mode="json")) as record:
        model = load_model(facts.path, job.spec.dtype)
        results, losses, tags = _measured(job, model)
        job.folder.perplexity.write(results)
        job.folder.losses.write(losses)
        job.folder.words.write(go_on(prompts_of(job.spec.words), BASELINE, model, facts.path))
        _note(record, results, "ppl/")
        said = (f"{text} {name} {shown(found.perplexity, digits=1)}" for text, name, found in longest(results))
        log.info("%s", "; ".join(said))
        record.tags |= tags


def baseline_part(job: Job[BaselineSpec, BaselineFolder], shard: Shard) -> Part:
    """Return the losses of the unpruned model on a shard of the spans."""
    return _part(job, job.input(ModelFolder).ready().path, shard)


def pruned_part(job: Job[EvaluationSpec, ExperimentFolder], shard: Shard) -> Part:
    """Return the losses of the pruned model on a shard of the spans."""
    return _part(job, job.folder.checkpoint.path, shard)


def recovered_part(job: Job[RecoveredSpec, ExperimentFolder], shard: Shard) -> Part:
    """Return the losses of the trained model on a shard of the spans."""
    return _part(job, job.folder.recovered.path, shard)


def _part(job: EvaluationJob, checkpoint: Path | str, shard: Shard) -> Part:
    windows = job.input(EvaluationTextFolder).windows.read()
    if not any(len(spans[shard.rows(len(spans))]) for spans in windows.values()):
        return Part()
    return measure_part(load_model(checkpoint, job.spec.dtype), windows, shard)


def _measured(job: EvaluationJob, model: nn.Module) -> tuple[Results, pd.DataFrame, dict[str, str]]:
    """Return results and losses by window, as `results_of`, and the device and dtype that they were computed with."""
    windows = job.input(EvaluationTextFolder).windows.read()
    found = job.gathered(partial(measure_part, model, windows))
    return *results_of(windows, found), dict(found.tags)


def evaluate_pruned(job: Job[EvaluationSpec, ExperimentFolder]) -> None:
    """Measure the pruned model beside the baseline; write both, their ratio and their losses by window.

    Raises:
        DataError: the baseline was measured on other tokens.
    """
    folder, baseline = job.folder, job.input(BaselineFolder)
    with job.recording() as record:
        before = baseline.perplexity.read()
        model = load_model(folder.checkpoint.path, job.spec.dtype)
        pruned, losses, settings = _measure_checkpoint(job, model, record)
        _check_tokens(before, pruned, "the baseline", baseline.path)
        windows = beside(baseline.losses.read().rename(columns={"loss": "baseline"}), losses, "pruned")
        ratio = compare_windows(windows, "pruned")
        report = PerplexityReport(baseline=before, pruned=pruned, ratio=ratio, settings=settings)
        folder.perplexity.write(report)
        folder.windows.write(windows)
        folder.words.write(go_on(baseline.words.read(), PRUNED, model, folder.checkpoint.path))
        if others := {result.dtype for _, _, result in _each(before)} - {settings.dtype}:
            log.warning(
                "the baseline was measured in %s and the pruned model in %s: delete %s and run again to compare them",
                " and ".join(sorted(others)),
                settings.dtype,
                baseline.path,
            )
        _note(record, pruned, "ppl/")
        _note(record, before, "ppl_baseline/")
        _note(record, ratio, "ppl_ratio/")
        log.info("%s", "; ".join(changes(report)))


def evaluate_recovered(job: Job[RecoveredSpec, ExperimentFolder]) -> None:
    """Measure the trained model; write it beside what `evaluate_pruned` left, and the losses by window.

    Raises:
        DataError: the pruned model was measured on other tokens.
    """
    folder = job.folder
    with job.recording() as record:
        before = folder.perplexity.read()
        model = load_model(folder.recovered.path, job.spec.dtype)
        recovered, losses, settings = _measure_checkpoint(job, model, record)
        _check_tokens(before.pruned, recovered, "the pruned model", folder.perplexity.path)
        windows = beside(folder.windows.read(), losses, "recovered")
        report = RecoveredReport(
            baseline=before.baseline,
            pruned=before.pruned,
            recovered=recovered,
            ratio=compare_windows(windows, "recovered"),
            ratio_to_pruned=compare_windows(windows, "recovered", "pruned"),
            settings=settings,
        )
        folder.recovered_perplexity.write(report)
        folder.recovered_windows.write(windows)
        folder.recovered_words.write(go_on(folder.words.read(), RECOVERED, model, folder.recovered.path))
        _note(record, recovered, "ppl_recovered/")
        _note(record, report.ratio, "ppl_recovered_ratio/")
        log.info("%s", "; ".join(changes(report)))


def evaluate_like(like: ExperimentFolder, folder: ExperimentFolder) -> None:
    """Measure the checkpoint in `folder` as an experiment was measured, by what that experiment left.

    Raises:
        DataError: the experiment has not been evaluated.
    """
    known, measured = like.identity.read(), like.perplexity.read().pruned
    keys = {kind.step: like.key_of(kind) for kind in (BaselineFolder, EvaluationTextFolder)}
    spec = EvaluationSpec(
        model=known.model,
        experiment=folder.path.name,
        inputs=keys,
        dtype=known.settings.evaluation.dtype,
        leakage={text: result.leakage for text, _, result in _each(measured)},
    )
    evaluate_pruned(Job(spec, folder, {step: like.shared(step, key).path for step, key in keys.items()}))


def _measure_checkpoint(
    job: Job[EvaluationSpec, ExperimentFolder] | Job[RecoveredSpec, ExperimentFolder],
    model: nn.Module,
    record: StepRecord,
) -> tuple[Results, pd.DataFrame, EvaluationSettings]:
    """Return results with the leakage of each text, losses by window, and how they were measured."""
    results, losses, tags = _measured(job, model)
    for text, protocol, result in _each(results):
        results[text][protocol] = result.model_copy(update={"leakage": job.spec.leakage[text]})
    record.tags |= tags
    settings = EvaluationSettings(
        **tags,
        hardware=describe_hardware(default_device()),
        spans_spread="evenly over the test split",
        bos=False,
        documents_joined_by=SEPARATOR,
        interval=IntervalSettings(level=bootstrap.LEVEL, draws=bootstrap.DRAWS, seed=bootstrap.SEED),
    )
    return results, losses, settings


def measure_part(model: nn.Module, windows: dict[str, Tensor], shard: Shard) -> Part:
    """Measure a shard of the spans of every text and protocol (`windows`: tokens by ``{text}/{protocol}``)."""
    sets = [(text, protocol, spans, shard.rows(len(spans))) for text, protocol, spans in _sets(windows)]
    total = sum(tokens_read(spans[rows], protocol) for _, protocol, spans, rows in sets)
    progress = Progress("perplexity", total, "tokens")
    sums = {
        f"{text}/{protocol.name}": torch.from_numpy(measure_rows(model, spans, protocol, rows, progress))
        for text, protocol, spans, rows in sets
    }
    return Part(sums, compute_tags(model))


def _sets(windows: dict[str, Tensor]) -> list[tuple[str, Protocol, Tensor]]:
    sets = ((*name.split("/"), spans) for name, spans in windows.items())
    return sorted((text, Protocol.parse(protocol), spans) for text, protocol, spans in sets)


def results_of(windows: dict[str, Tensor], found: Part) -> tuple[Results, pd.DataFrame]:
    """Return what the losses of all windows amount to.

    Returns:
        The results, and the losses: columns dataset, protocol, window, tokens, loss (summed, in nats).
    """
    results: Results = {}
    tables = []
    for text, protocol, spans in _sets(windows):
        sums = found.sums[f"{text}/{protocol.name}"].numpy()
        losses = WindowLosses(sums, scored_tokens(spans, protocol))
        result = results.setdefault(text, {})[protocol.name] = summarise(found.tags["dtype"], spans, protocol, losses)
        figure = shown(result.perplexity, result.interval)
        log.info("%s/%s: perplexity %s over %s tokens", text, protocol.name, figure, f"{result.tokens:,}")
        numbers = {"window": np.arange(len(losses.sums)), "tokens": losses.tokens, "loss": losses.sums}
        tables.append(pd.DataFrame({"dataset": text, "protocol": protocol.name} | numbers))
    return results, pd.concat(tables, ignore_index=True)


def beside(before: pd.DataFrame, after: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return losses with those of another model beside them, in the column `name`."""
    return before.merge(after.rename(columns={"loss": name}), on=WINDOW, validate="one_to_one")


def compare_windows(windows: pd.DataFrame, after: str, before: str = "baseline") -> Ratios:
    """Return the ratio of two models' perplexities with its paired interval, by text and protocol."""
    ratios: Ratios = {}
    for (text, protocol), rows in windows.groupby(["dataset", "protocol"], sort=False):
        later, earlier, tokens = (rows[name].to_numpy() for name in (after, before, "tokens"))
        ratios.setdefault(text, {})[protocol] = Ratio(
            ratio=bootstrap.exponential((later.sum() - earlier.sum()) / tokens.sum()),
            interval=bootstrap.ratio_interval(later, earlier, tokens),
        )
    return ratios


def _each(results: Mapping[str, Mapping[str, T]]) -> Iterator[tuple[str, str, T]]:
    """Yield (text, protocol, result)."""
    for text, protocols in results.items():
        for protocol, result in protocols.items():
            yield text, protocol, result


def _check_tokens(before: Results, after: Results, what: str, place: Path) -> None:
    one, other = ({(text, name): result.sha256 for text, name, result in _each(each)} for each in (before, after))
    if one != other:
        raise DataError(f"{what} was measured on other tokens: delete {place} and run again")


def _note(record: StepRecord, results: Mapping[str, Mapping[str, Perplexity | Ratio]], prefix: str) -> None:
    for text, protocol, result in _each(results):
        value = result.perplexity if isinstance(result, Perplexity) else result.ratio
        record.metrics[f"{prefix}{text}_{protocol}"] = value
