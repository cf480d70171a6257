"""The evaluation steps: perplexity before and after, on the same windows, and how they compare."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import nn

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.protocols import Protocol
from prunescope.data.documents import SEPARATOR
from prunescope.errors import DataError
from prunescope.evaluation import bootstrap
from prunescope.evaluation.hardware import describe_hardware
from prunescope.evaluation.perplexity import Perplexity, WindowLosses, measure_losses, summarise, tokens_read
from prunescope.files import read_json, replacing, write_json
from prunescope.models.loading import compute_tags, default_device, load_model
from prunescope.progress import Progress
from prunescope.steps.specs import BaselineSpec, EvaluationSpec, RecoveredSpec

log = logging.getLogger(__name__)

Results = dict[str, dict[str, dict[str, Any]]]
"""``{dataset: {protocol: result}}``, as in ``perplexity.json``."""

WINDOW = ["dataset", "protocol", "window"]


def write_baseline(spec: BaselineSpec, key: str, facts: ModelFacts, spans: Path, output: Path) -> None:
    """Evaluate the unpruned model; write ``perplexity.json`` {dataset: {protocol: result}} and ``losses.parquet``.

    ``losses.parquet`` has a row per window: ``dataset, protocol, window, tokens, loss`` (summed, in nats).
    """
    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts.path, spec.dtype)
        results, losses = measure_all(model, spans)
        write_json(output / "perplexity.json", results)
        _write_table(losses, output / "losses.parquet")
        _note(record, results, "ppl/", "perplexity")
        record.tags |= compute_tags(model)


def write_evaluation(spec: EvaluationSpec, checkpoint: Path, spans: Path, baseline: Path, directory: Path) -> None:
    """Evaluate the pruned model.

    Writes ``evaluation/perplexity.json`` {baseline, pruned, ratio, settings} and ``evaluation/windows.parquet``:
    ``dataset, protocol, window, tokens, baseline, pruned`` (summed losses, in nats).

    Args:
        baseline: folder of the baseline step.

    Raises:
        DataError: the baseline was measured on other tokens.
    """
    with recording(spec.step, spec.record_key, directory / "records/evaluation.json") as record:
        before = read_json(baseline / "perplexity.json")
        pruned, losses, tags = _measure_checkpoint(spec, checkpoint, spans)
        _check_tokens(before, pruned, "the baseline", baseline)
        windows = beside(pd.read_parquet(baseline / "losses.parquet").rename(columns={"loss": "baseline"}), losses)
        ratios = compare_windows(windows)
        content = {"baseline": before, "pruned": pruned, "ratio": ratios, "settings": tags | _settings()}
        write_json(directory / "evaluation/perplexity.json", content)
        _write_table(windows, directory / "evaluation/windows.parquet")
        _warn_of_dtypes(before, tags["dtype"], baseline)
        _note(record, pruned, "ppl/", "perplexity")
        _note(record, before, "ppl_baseline/", "perplexity")
        _note(record, ratios, "ppl_ratio/", "ratio")
        record.tags |= tags
        record.artifacts.append("../evaluation/perplexity.json")


def write_recovered_evaluation(spec: RecoveredSpec, spans: Path, directory: Path) -> None:
    """Evaluate the trained model beside the pruned and the unpruned one, as `write_evaluation` left them.

    Writes ``evaluation/recovered.json`` {baseline, pruned, recovered, ratio, ratio_to_pruned, settings} and
    ``evaluation/recovered.parquet``: ``dataset, protocol, window, tokens, baseline, pruned, recovered``.

    Raises:
        DataError: the pruned model was measured on other tokens.
    """
    with recording(spec.step, spec.record_key, directory / "records/recovered.json") as record:
        before = read_json(directory / "evaluation/perplexity.json")
        recovered, losses, tags = _measure_checkpoint(spec, directory / "recovered", spans)
        _check_tokens(before["pruned"], recovered, "the pruned model", directory / "evaluation/perplexity.json")
        windows = beside(pd.read_parquet(directory / "evaluation/windows.parquet"), losses, "recovered")
        content = {name: before[name] for name in ("baseline", "pruned")} | {
            "recovered": recovered,
            "ratio": compare_windows(windows, "recovered"),
            "ratio_to_pruned": compare_windows(windows, "recovered", "pruned"),
            "settings": tags | _settings(),
        }
        write_json(directory / "evaluation/recovered.json", content)
        _write_table(windows, directory / "evaluation/recovered.parquet")
        _note(record, recovered, "ppl_recovered/", "perplexity")
        _note(record, content["ratio"], "ppl_recovered_ratio/", "ratio")
        record.tags |= tags
        record.artifacts.append("../evaluation/recovered.json")


def _measure_checkpoint(
    spec: EvaluationSpec | RecoveredSpec, checkpoint: Path, spans: Path
) -> tuple[Results, pd.DataFrame, dict[str, str]]:
    """Return results with the leakage of each text, losses per window, and what the model computed in."""
    model = load_model(checkpoint, spec.dtype)
    results, losses = measure_all(model, spans)
    for dataset, protocols in results.items():
        for result in protocols.values():
            result["leakage"] = spec.leakage[dataset]
    return results, losses, compute_tags(model)


def measure_all(model: nn.Module, spans: Path) -> tuple[Results, pd.DataFrame]:
    """Measure every text and protocol of ``windows.safetensors``; return the results and the losses per window."""
    sets = {tuple(name.split("/")): tensor for name, tensor in load_file(spans).items()}
    names = sorted(sets, key=lambda name: (name[0], Protocol.parse(name[1])))
    total = sum(tokens_read(tensor, Protocol.parse(name)) for (_, name), tensor in sets.items())
    progress = Progress("perplexity", total=total, unit="tokens")
    results: Results = {}
    tables = []
    for dataset, name in names:
        tensor, protocol = sets[dataset, name], Protocol.parse(name)
        losses = measure_losses(model, tensor, protocol, progress)
        result = summarise(model, tensor, protocol, losses)
        log.info("%s/%s: perplexity %s over %s tokens", dataset, name, _figure(result), f"{result.tokens:,}")
        results.setdefault(dataset, {})[name] = asdict(result)
        tables.append(_table(dataset, name, losses))
    return results, pd.concat(tables, ignore_index=True)


def beside(before: pd.DataFrame, after: pd.DataFrame, name: str = "pruned") -> pd.DataFrame:
    """Return losses with those of another model beside them, in the column `name`."""
    return before.merge(after.rename(columns={"loss": name}), on=[*WINDOW, "tokens"], validate="one_to_one")


def compare_windows(windows: pd.DataFrame, after: str = "pruned", before: str = "baseline") -> Results:
    """Return the ratio of two models' perplexities with its paired interval, per text and protocol."""
    ratios: Results = {}
    for (dataset, protocol), rows in windows.groupby(["dataset", "protocol"], sort=False):
        later, earlier, tokens = (rows[name].to_numpy() for name in (after, before, "tokens"))
        ratio = bootstrap.exponential((later.sum() - earlier.sum()) / tokens.sum())
        interval = bootstrap.ratio_interval(later, earlier, tokens)
        ratios.setdefault(dataset, {})[protocol] = {"ratio": ratio, "interval": interval}
    return ratios


def _table(dataset: str, protocol: str, losses: WindowLosses) -> pd.DataFrame:
    numbers = {"window": np.arange(len(losses.sums)), "tokens": losses.tokens, "loss": losses.sums}
    return pd.DataFrame({"dataset": dataset, "protocol": protocol} | numbers)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _settings() -> dict[str, Any]:
    return {
        "hardware": describe_hardware(default_device()),
        "spans_spread": "evenly over the test split",
        "bos": False,
        "documents_joined_by": SEPARATOR,
        "interval": {"level": bootstrap.LEVEL, "draws": bootstrap.DRAWS, "seed": bootstrap.SEED},
    }


def _figure(result: Perplexity) -> str:
    low_high = f" [{result.interval[0]:.2f}, {result.interval[1]:.2f}]" if result.interval else ""
    return f"{result.perplexity:.2f}{low_high}"


def _check_tokens(before: Results, after: Results, what: str, place: Path) -> None:
    def hashes(results: Results) -> dict[tuple[str, str], str]:
        return {(text, name): result["sha256"] for text, named in results.items() for name, result in named.items()}

    if hashes(before) != hashes(after):
        raise DataError(f"{what} was measured on other tokens: delete {place} and run again")


def _warn_of_dtypes(before: Results, dtype: str, baseline: Path) -> None:
    others = {result["dtype"] for protocols in before.values() for result in protocols.values()} - {dtype}
    if others:
        log.warning(
            "the baseline was measured in %s and the pruned model in %s: delete %s and run again to compare them",
            " and ".join(sorted(others)),
            dtype,
            baseline,
        )


def _note(record: StepRecord, results: Results, prefix: str, value: str) -> None:
    for dataset, protocols in results.items():
        for protocol, result in protocols.items():
            record.metrics[f"{prefix}{dataset}_{protocol}"] = result[value]
