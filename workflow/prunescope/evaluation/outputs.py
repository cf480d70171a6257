"""The baseline and evaluation steps: perplexity before and after, on the same windows, and how they compare."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import nn

from prunescope.config.protocols import Protocol
from prunescope.config.specs import BaselineSpec, EvaluationSpec
from prunescope.data.documents import SEPARATOR
from prunescope.errors import DataError
from prunescope.evaluation import bootstrap
from prunescope.evaluation.hardware import describe_hardware
from prunescope.evaluation.perplexity import Perplexity, WindowLosses, measure_losses, summarise, tokens_read
from prunescope.files import read_json, replacing, write_json
from prunescope.models.facts import ModelFacts
from prunescope.models.loading import compute_dtype, compute_tags, default_device, load_checkpoint, load_model
from prunescope.progress import Progress
from prunescope.tracking.record import StepRecord, recording

log = logging.getLogger(__name__)

Results = dict[str, dict[str, dict[str, Any]]]
"""``{dataset: {protocol: result}}``, as in ``perplexity.json``."""

WINDOW = ["dataset", "protocol", "window"]


def write_baseline(spec: BaselineSpec, key: str, facts: ModelFacts, spans: Path, output: Path) -> None:
    """Evaluate the unpruned model; write ``perplexity.json`` {dataset: {protocol: result}} and ``losses.parquet``.

    ``losses.parquet`` has a row per window: ``dataset, protocol, window, tokens, loss`` (summed, in nats).
    """
    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts, spec.dtype)
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
    with recording(spec.step, spec.experiment, directory / "records/evaluation.json") as record:
        device = default_device()
        model = load_checkpoint(checkpoint, compute_dtype(spec.dtype, device), device)
        before = read_json(baseline / "perplexity.json")
        pruned, losses = measure_all(model, spans)
        _check_tokens(before, pruned, baseline)
        for dataset, protocols in pruned.items():
            for result in protocols.values():
                result["leakage"] = spec.leakage[dataset]
        windows = beside(pd.read_parquet(baseline / "losses.parquet"), losses)
        ratios = compare_windows(windows)
        tags = compute_tags(model)
        content = {"baseline": before, "pruned": pruned, "ratio": ratios, "settings": tags | _settings(device)}
        write_json(directory / "evaluation/perplexity.json", content)
        _write_table(windows, directory / "evaluation/windows.parquet")
        _warn_of_dtypes(before, tags["dtype"], baseline)
        _note(record, pruned, "ppl/", "perplexity")
        _note(record, before, "ppl_baseline/", "perplexity")
        _note(record, ratios, "ppl_ratio/", "ratio")
        record.tags |= tags
        record.artifacts.append("../evaluation/perplexity.json")


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


def beside(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return the losses of both models side by side: ``dataset, protocol, window, tokens, baseline, pruned``."""
    return before.rename(columns={"loss": "baseline"}).merge(
        after.rename(columns={"loss": "pruned"}), on=[*WINDOW, "tokens"], validate="one_to_one"
    )


def compare_windows(windows: pd.DataFrame) -> Results:
    """Return the ratio of the perplexities, pruned to baseline, with its paired interval, per text and protocol."""
    ratios: Results = {}
    for (dataset, protocol), rows in windows.groupby(["dataset", "protocol"], sort=False):
        pruned, baseline, tokens = (rows[name].to_numpy() for name in ("pruned", "baseline", "tokens"))
        ratio = bootstrap.exponential((pruned.sum() - baseline.sum()) / tokens.sum())
        interval = bootstrap.ratio_interval(pruned, baseline, tokens)
        ratios.setdefault(dataset, {})[protocol] = {"ratio": ratio, "interval": interval}
    return ratios


def _table(dataset: str, protocol: str, losses: WindowLosses) -> pd.DataFrame:
    numbers = {"window": np.arange(len(losses.sums)), "tokens": losses.tokens, "loss": losses.sums}
    return pd.DataFrame({"dataset": dataset, "protocol": protocol} | numbers)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _settings(device: torch.device) -> dict[str, Any]:
    return {
        "hardware": describe_hardware(device),
        "spans_spread": "evenly over the test split",
        "bos": False,
        "documents_joined_by": SEPARATOR,
        "interval": {"level": bootstrap.LEVEL, "draws": bootstrap.DRAWS, "seed": bootstrap.SEED},
    }


def _figure(result: Perplexity) -> str:
    low_high = f" [{result.interval[0]:.2f}, {result.interval[1]:.2f}]" if result.interval else ""
    return f"{result.perplexity:.2f}{low_high}"


def _check_tokens(before: Results, after: Results, baseline: Path) -> None:
    def hashes(results: Results) -> dict[tuple[str, str], str]:
        return {(text, name): result["sha256"] for text, named in results.items() for name, result in named.items()}

    if hashes(before) != hashes(after):
        raise DataError(f"the baseline was measured on other tokens: delete {baseline} and run again")


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
