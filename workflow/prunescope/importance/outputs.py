"""The gradient, removal and importance steps: from a spec and the files before to the files of the step."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file

from prunescope.config.specs import GradientsSpec, ImportanceSpec, RemovalSpec
from prunescope.files import read_json, replacing, write_json
from prunescope.importance.prior import choose_prior, read_removal
from prunescope.importance.selection import Selection, mark_removed, select
from prunescope.importance.summary import layer_rates, summarise
from prunescope.importance.table import build_table
from prunescope.models.facts import ModelFacts
from prunescope.tracking.record import StepRecord, recording

if TYPE_CHECKING:
    import pandas as pd
    import torch

log = logging.getLogger(__name__)


def write_gradients(spec: GradientsSpec, key: str, facts: ModelFacts, samples: Path, output: Path) -> None:
    """Collect gradients; write ``saliency.safetensors``, ``gradient_statistics.json`` and ``timing.json``.

    ``saliency.safetensors`` holds float32 ``[groups]`` under ``"{criterion}/{layer}.{block}"``.
    """
    from prunescope.importance.engine import collect_gradients
    from prunescope.models.adapter import adapter_for
    from prunescope.models.loading import compute_tags, load_model

    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        begin = time.perf_counter()
        model = load_model(facts, spec.dtype)
        loaded = time.perf_counter()
        windows = read_windows(samples)
        result = collect_gradients(adapter_for(model), windows, spec.criteria, spec.batch_size)
        seconds = time.perf_counter() - loaded
        saliency = {
            f"{criterion}/{block}": scores.numpy()
            for criterion, blocks in result.saliency.items()
            for block, scores in blocks.items()
        }
        with replacing(output / "saliency.safetensors") as temporary:
            save_file(saliency, temporary)
        write_json(output / "gradient_statistics.json", result.statistics.as_json())
        timing = {
            "load_seconds": round(loaded - begin, 3),
            "compute_seconds": round(seconds, 3),
            "tokens": result.tokens,
            "tokens_per_second": round(result.tokens / seconds, 1),
        }
        write_json(output / "timing.json", timing)
        record.metrics |= {"grad/loss": result.loss, "grad/tokens_per_second": timing["tokens_per_second"]}
        record.metrics["grad/compute_seconds"] = timing["compute_seconds"]
        record.tags |= compute_tags(model)
        record.artifacts.append("gradient_statistics.json")


def write_removal(spec: RemovalSpec, key: str, facts: ModelFacts, samples: Path, output: Path) -> None:
    """Measure removal losses; write ``block_importance.json`` {attention, mlp, layer: {layer: nats per token}}."""
    from prunescope.importance.removal import measure_removal
    from prunescope.models.adapter import adapter_for
    from prunescope.models.loading import compute_tags, forward_batch, load_model

    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts, spec.dtype)
        windows = read_windows(samples)[: spec.samples]
        begin = time.perf_counter()
        result = measure_removal(adapter_for(model), windows, forward_batch(windows, model))
        write_json(output / "block_importance.json", result.as_json())
        record.metrics |= {
            "removal/dense_loss": result.dense,
            "removal/compute_seconds": round(time.perf_counter() - begin, 3),
        }
        record.curves |= {f"removal/{kind}": list(losses.values()) for kind, losses in result.as_json().items()}
        record.tags |= compute_tags(model)
        record.artifacts.append("block_importance.json")


def write_importance(
    spec: ImportanceSpec, facts: ModelFacts, saliency: Path, removal: Path | None, directory: Path
) -> None:
    """Score, select and summarise; needs no torch.

    Writes ``analysis/importance_table.parquet``, ``plan.json``, ``pruning_summary.json`` and ``.csv``
    into an experiment's directory.

    Args:
        removal: ``block_importance.json``; None for T = 0.
    """
    method = spec.method
    params = {"method": method.model_dump(mode="json"), "limits": spec.limits.model_dump(mode="json")}
    with recording(spec.step, spec.experiment, directory / "records/importance.json", params) as record:
        prior = choose_prior(read_removal(read_json(removal)), method.tau) if removal else None
        scores = _scores_of(saliency, method.criterion)
        table = build_table(facts.blocks, scores, prior, method.temperature)
        selection = select(table, facts, method.ratio, spec.limits)
        table = mark_removed(table, selection.plan)
        rates = layer_rates(selection.plan)
        summary = summarise(facts, selection, rates, prior, spec)
        _write_analysis(directory / "analysis", table, rates, selection, summary)
        _note_results(record, summary)


def _write_analysis(
    analysis: Path, table: "pd.DataFrame", rates: "pd.DataFrame", selection: Selection, summary: dict
) -> None:
    with replacing(analysis / "importance_table.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    with replacing(analysis / "pruning_summary.csv") as temporary:
        rates.to_csv(temporary, index=False)
    selection.plan.write(analysis / "plan.json")
    write_json(analysis / "pruning_summary.json", summary)
    log.info(
        "%s of %s parameters go: %.2f %% of all, %.2f %% of the decoder layers",
        f"{summary['removed_parameters']:,}",
        f"{summary['total_parameters']:,}",
        100 * summary["ratio_of_total"],
        100 * summary["ratio_of_decoder"],
    )


def _note_results(record: StepRecord, summary: dict) -> None:
    names = ("ratio_of_total", "ratio_of_decoder", "removed_parameters", "remaining_parameters")
    record.metrics |= {f"prune/{name}": summary[name] for name in (*names, "attention_rate", "mlp_rate")}
    record.metrics["prune/max_layer_rate"] = max(layer["rate"] for layer in summary["layers"])
    record.artifacts += ["../analysis/pruning_summary.json", "../analysis/pruning_summary.csv"]


def _scores_of(saliency: Path, criterion: str) -> dict[str, np.ndarray]:
    prefix = f"{criterion}/"
    return {
        name.removeprefix(prefix): scores for name, scores in load_file(saliency).items() if name.startswith(prefix)
    }


def read_windows(samples: Path) -> "torch.Tensor":
    """Read calibration windows, int32 ``[n, tokens]``."""
    from safetensors.torch import load_file

    return load_file(samples)["input_ids"]
