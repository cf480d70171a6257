"""The gradient, removal and importance steps: from a spec and the files before to the files of the step."""

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.criteria import CRITERIA
from prunescope.errors import ConfigError
from prunescope.files import read_json, replacing, write_json
from prunescope.importance.prior import choose_prior, read_removal
from prunescope.importance.selection import mark_removed, select
from prunescope.importance.summary import layer_rates, summarise
from prunescope.importance.table import build_table
from prunescope.steps.specs import GradientsSpec, ImportanceSpec, RemovalSpec

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from prunescope.importance.engine import GradientPass
    from prunescope.trial.blocks import BlockImportance

log = logging.getLogger(__name__)


def write_gradients(
    spec: GradientsSpec,
    key: str,
    facts: ModelFacts,
    samples: Path,
    output: Path,
    save_every: int | None = None,
    checkpointing: bool = False,
) -> None:
    """Score the groups; write ``saliency.safetensors``, statistics, ``stability.json`` and ``timing.json``.

    ``saliency.safetensors`` holds float32 ``[groups]`` under ``"{criterion}/{layer}.{block}"``. Gradient
    statistics are collected whatever the criteria: the diagnosis of every experiment rests on them. While the
    pass runs, its sums are in ``partial.safetensors``, from where a killed run goes on.

    Args:
        save_every: batches between two savings; None: about ten minutes.
        checkpointing: compute activations twice from the start, not only when memory has run out.
    """
    from prunescope.importance.engine import collect_gradients
    from prunescope.importance.modes import choose_mode
    from prunescope.importance.partial import PartialSums
    from prunescope.models.adapter import adapter_for
    from prunescope.models.loading import calibration_dtype, compute_tags, load_model

    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        begin = time.perf_counter()
        model = load_model(facts.path, calibration_dtype(spec.dtype))
        adapter = adapter_for(model)
        mode = choose_mode(spec.mode, adapter, spec.criteria)
        log.info("mode %s: %s", mode.name, mode.reason)
        tags = compute_tags(model)
        saved = PartialSums(output / "partial.safetensors", f"{spec.text()} {mode.name} {tags}", save_every)
        loaded = time.perf_counter()
        result = collect_gradients(
            adapter, read_windows(samples), spec.criteria, spec.batch_size, mode, checkpointing, saved
        )
        timing = _timing(result, loaded - begin, time.perf_counter() - loaded)
        _write_saliency(output / "saliency.safetensors", result.saliency)
        write_json(output / "gradient_statistics.json", result.statistics.as_json())
        write_json(output / "stability.json", result.stability.as_json())
        write_json(output / "timing.json", timing | {"mode": mode.name, "reason": mode.reason})
        saved.discard()
        record.metrics |= {"grad/loss_nats": result.loss, "grad/tokens_per_second": timing["tokens_per_second"]}
        record.metrics["grad/compute_seconds"] = timing["compute_seconds"]
        record.curves["grad/stability"] = list(result.stability.layers.values())
        record.tags |= tags | {"mode": mode.name, "batch_size": str(result.effort.batch_size)}
        record.artifacts += ["gradient_statistics.json", "stability.json"]


def _timing(result: "GradientPass", load_seconds: float, seconds: float) -> dict[str, Any]:
    """Return what a pass took; the rate is that of this run, without what an earlier one had done."""
    return {
        "load_seconds": round(load_seconds, 3),
        "compute_seconds": round(seconds, 3),
        "statistics_seconds": round(result.statistics_seconds, 3),
        "statistics_share": round(result.statistics_seconds / seconds, 5),
        "tokens": result.tokens,
        "tokens_per_second": round(result.computed / seconds, 1),
        "batch_size": result.effort.batch_size,
        "checkpointing": result.effort.checkpointing,
        "resumed_after_batches": result.resumed,
    }


def _write_saliency(path: Path, saliency: dict[str, dict[str, "torch.Tensor"]]) -> None:
    arrays = {
        f"{criterion}/{block}": scores.numpy()
        for criterion, blocks in saliency.items()
        for block, scores in blocks.items()
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary)


def write_removal(spec: RemovalSpec, key: str, facts: ModelFacts, samples: Path, output: Path) -> None:
    """Measure the prior; write ``block_importance.json`` {attention, mlp, layer: {layer: value}}.

    A value is a loss increase in nats per token (`removal`, measured or estimated) or 1 - cos of the residual
    stream (`similarity`). The measurement yields the similarity too: ``similarity.json`` of the same form.
    """
    from prunescope.models.loading import calibration_dtype, compute_tags, load_model
    from prunescope.trial.removal import RemovalLosses

    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts.path, calibration_dtype(spec.dtype))
        windows = read_windows(samples)[: spec.samples]
        begin = time.perf_counter()
        result = _measure_prior(spec, model, windows)
        record.metrics |= {
            "removal/dense_loss_nats": result.dense,
            "removal/compute_seconds": round(time.perf_counter() - begin, 3),
        }
        write_json(output / "block_importance.json", result.as_json())
        record.artifacts.append("block_importance.json")
        record.curves |= {f"removal/{part}": list(values.values()) for part, values in result.as_json().items()}
        if isinstance(result, RemovalLosses):
            write_json(output / "similarity.json", result.similarity.as_json())
            record.artifacts.append("similarity.json")
        record.tags |= compute_tags(model)


def _measure_prior(spec: RemovalSpec, model: "nn.Module", windows: "torch.Tensor") -> "BlockImportance":
    from prunescope.models.adapter import adapter_for
    from prunescope.models.loading import forward_batch
    from prunescope.models.memory import in_smaller_batches
    from prunescope.trial.first_order import TOKENS, measure_first_order
    from prunescope.trial.removal import measure_removal
    from prunescope.trial.similarity import measure_similarity

    adapter, batch_size = adapter_for(model), forward_batch(windows, model)
    measure = {"removal": measure_removal, "similarity": measure_similarity}[spec.prior]
    if spec.prior == "removal" and spec.estimate == "first_order":
        measure, batch_size = measure_first_order, max(1, TOKENS // windows.shape[1])
    return in_smaller_batches(partial(measure, adapter, windows), batch_size)


def write_importance(
    spec: ImportanceSpec, facts: ModelFacts, saliency: Path, removal: Path | None, directory: Path
) -> None:
    """Score, select and summarise; needs no torch.

    Writes ``analysis/importance_table.parquet``, ``plan.json``, ``pruning_summary.json`` and ``.csv``
    into an experiment's directory.

    Args:
        removal: ``block_importance.json``; None where the method needs no prior.

    Raises:
        ConfigError: the method needs a prior and there is none.
    """
    method = spec.method
    if method.needs_prior and removal is None:
        raise ConfigError(
            f"method.combine = {method.combine} with T = {method.temperature:g} needs the prior: pass the "
            "block_importance.json of the removal step with --removal"
        )
    params = spec.model_dump(mode="json", include={"method", "corrections", "limits"})
    with recording(spec.step, spec.record_key, directory / "records/importance.json", params) as record:
        prior = choose_prior(read_removal(read_json(removal)), method.tau) if removal else None
        scores = _scores_of(saliency, method.criterion)
        table = build_table(facts.blocks, scores, prior, method, spec.corrections)
        selection = select(table, facts, method.ratio, spec.limits, CRITERIA[method.criterion].unit)
        summary = summarise(facts, selection, prior, spec.experiment)
        write_analysis(directory / "analysis", table, selection.plan, summary)
        note_results(record, summary)


def write_analysis(analysis: Path, table: "pd.DataFrame | None", plan: PruningPlan, summary: dict) -> None:
    """Write the plan, its summary as JSON and CSV and, where there is one, the table with what the plan removes."""
    if table is not None:
        with replacing(analysis / "importance_table.parquet") as temporary:
            mark_removed(table, plan).to_parquet(temporary, index=False)
    with replacing(analysis / "pruning_summary.csv") as temporary:
        layer_rates(plan).to_csv(temporary, index=False)
    plan.write(analysis / "plan.json")
    write_json(analysis / "pruning_summary.json", summary)
    log.info(
        "%s of %s parameters go: %.2f %% of all, %.2f %% of the decoder layers",
        f"{summary['removed_parameters']:,}",
        f"{summary['total_parameters']:,}",
        100 * summary["ratio_of_total"],
        100 * summary["ratio_of_decoder"],
    )


def note_results(record: StepRecord, summary: dict) -> None:
    """Add what a summary says to the record of the step."""
    names = ("ratio_of_total", "ratio_of_decoder", "removed_parameters", "remaining_parameters")
    record.metrics |= {f"prune/{name}": summary[name] for name in (*names, "attention_rate", "mlp_rate")}
    record.metrics["prune/max_layer_rate"] = max(layer["rate"] for layer in summary["layers"])
    record.artifacts += ["../analysis/pruning_summary.json", "../analysis/pruning_summary.csv"]


def _scores_of(saliency: Path, criterion: str) -> dict[str, np.ndarray]:
    prefix = f"{criterion}/"
    scores = {
        name.removeprefix(prefix): scores for name, scores in load_file(saliency).items() if name.startswith(prefix)
    }
    if not scores:
        raise ConfigError(
            f"{saliency} has no '{criterion}': the gradient pass ran in a mode that cannot score it (timing.json says "
            "why); choose a criterion without the mean gradient, such as taylor_stream, or gradients.mode: accumulate"
        )
    return scores


def read_windows(samples: Path) -> "torch.Tensor":
    """Read calibration windows, int32 ``[n, tokens]``."""
    from safetensors.torch import load_file

    return load_file(samples)["input_ids"]
