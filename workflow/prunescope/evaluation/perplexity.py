"""Perplexity over fixed windows."""

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from prunescope.config.specs import BaselineSpec, EvaluationSpec
from prunescope.errors import NonFiniteError
from prunescope.files import read_json, write_json
from prunescope.models.facts import ModelFacts
from prunescope.models.loading import (
    compute_dtype,
    compute_tags,
    default_device,
    forward_batch,
    load_checkpoint,
    load_model,
)
from prunescope.models.loss import batches, next_token_losses, predicted_tokens
from prunescope.progress import Progress
from prunescope.tracking.record import StepRecord, recording

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of one text and window length.

    Attributes:
        perplexity: exp of the mean loss. loss: mean next-token loss in nats.
        tokens: predicted tokens. windows, window: how many windows of how many tokens.
        dtype: that the model computed in.
    """

    perplexity: float
    loss: float
    tokens: int
    windows: int
    window: int
    dtype: str


@torch.no_grad()
def measure_perplexity(model: nn.Module, windows: Tensor, progress: Progress | None = None) -> Perplexity:
    """Measure perplexity over independent windows (no context is carried over, no BOS).

    Args:
        windows: int ``[n, tokens]``.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
    """
    device = next(model.parameters()).device
    loss, tokens = 0.0, 0
    for part in batches(windows, forward_batch(windows, model), device):
        loss += next_token_losses(model, part).sum().item()
        tokens += predicted_tokens(part)
        if progress:
            progress.advance(part.numel())
    mean = loss / tokens
    if not math.isfinite(mean):
        raise NonFiniteError(
            f"the loss over windows of {windows.shape[1]} tokens is {mean}; try evaluation.dtype: float32"
        )
    # exp overflows for a destroyed model; its loss still says how bad it is.
    perplexity = math.exp(min(mean, 700.0))
    return Perplexity(perplexity, mean, tokens, *windows.shape, compute_tags(model)["dtype"])


def measure_all(model: nn.Module, windows: Path) -> dict[str, dict[str, Any]]:
    """Measure every text and window length of ``windows.safetensors``: ``{dataset: {"w512": {...}}}``."""
    sets = load_file(windows)
    progress = Progress("perplexity", total=sum(tensor.numel() for tensor in sets.values()), unit="tokens")
    results: dict[str, dict[str, Any]] = {}
    for name in sorted(sets, key=lambda name: (name.split("/")[0], sets[name].shape[1])):
        dataset, protocol = name.split("/")
        result = measure_perplexity(model, sets[name], progress)
        log.info("%s: perplexity %.2f over %s tokens", name, result.perplexity, f"{result.tokens:,}")
        results.setdefault(dataset, {})[protocol] = asdict(result)
    return results


def write_baseline(spec: BaselineSpec, key: str, facts: ModelFacts, windows: Path, output: Path) -> None:
    """Evaluate the unpruned model; write ``perplexity.json`` {dataset: {protocol: result}}."""
    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts, spec.dtype)
        results = measure_all(model, windows)
        write_json(output / "perplexity.json", results)
        _note(record, results, "ppl/")
        record.tags |= compute_tags(model)


def write_evaluation(spec: EvaluationSpec, checkpoint: Path, windows: Path, baseline: Path, directory: Path) -> None:
    """Evaluate the pruned model; write ``evaluation/perplexity.json`` {baseline, pruned, settings}."""
    with recording(spec.step, spec.experiment, directory / "records/evaluation.json") as record:
        device = default_device()
        model = load_checkpoint(checkpoint, compute_dtype(spec.dtype, device), device)
        pruned, before = measure_all(model, windows), read_json(baseline)
        tags = compute_tags(model)
        settings = tags | {
            "windows_spread": "evenly over the test split",
            "bos": False,
            "documents_joined_by": "\n\n",
        }
        write_json(
            directory / "evaluation/perplexity.json",
            {"baseline": before, "pruned": pruned, "settings": settings},
        )
        _warn_of_dtypes(before, tags["dtype"], baseline)
        _note(record, pruned, "ppl/")
        _note(record, before, "ppl_baseline/")
        record.tags |= tags
        record.artifacts.append("../evaluation/perplexity.json")


def _warn_of_dtypes(before: dict[str, dict[str, Any]], dtype: str, baseline: Path) -> None:
    others = {result["dtype"] for protocols in before.values() for result in protocols.values()} - {dtype}
    if others:
        log.warning(
            "the baseline was measured in %s and the pruned model in %s: delete %s and run again to compare them",
            " and ".join(sorted(others)),
            dtype,
            baseline.parent,
        )


def _note(record: StepRecord, results: dict[str, dict[str, Any]], prefix: str) -> None:
    for dataset, protocols in results.items():
        for protocol, result in protocols.items():
            record.metrics[f"{prefix}{dataset}_{protocol}"] = result["perplexity"]
