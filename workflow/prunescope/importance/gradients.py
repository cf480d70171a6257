"""The gradient step: every criterion, the statistics and the stability from one pass."""

import logging
import time
from collections.abc import Mapping
from functools import partial

from numpy import ndarray
from torch import Tensor

from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, ModelFolder
from prunescope.artifacts.parts import Part
from prunescope.artifacts.passes import StatisticsFile, Timing
from prunescope.environment import CHECKPOINTING, SAVE_BATCHES, switch, whole_number
from prunescope.importance.collector import Scores
from prunescope.importance.engine import collect_gradients
from prunescope.importance.modes import Mode, choose_mode
from prunescope.importance.one_pass import GradientPass
from prunescope.importance.partial import PartialSums
from prunescope.importance.shared_pass import numbers_of, run_shard, shared_mode, shared_pass
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.loading import calibration_dtype, compute_tags, load_model
from prunescope.shards import Shard
from prunescope.steps.importance import GradientsSpec
from prunescope.steps.job import Job

log = logging.getLogger(__name__)


def collect(job: Job[GradientsSpec, GradientsFolder]) -> None:
    """Score the groups by every criterion that the mode can score.

    Gradient statistics are collected whatever the criteria: the diagnosis of every experiment rests on them. While the
    pass runs, its sums are in a file, from where a killed run goes on.
    """
    spec, folder = job.spec, job.folder
    with job.recording(spec.model_dump(mode="json")) as record:
        begin = time.perf_counter()
        model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(spec.dtype))
        adapter = adapter_for(model)
        mode = shared_mode(spec.mode) if job.shards > 1 else choose_mode(spec.mode, adapter, spec.criteria)
        log.info("mode %s: %s", mode.name, mode.reason)
        tags = compute_tags(model)
        identity = f"{spec.text()} {mode.name} {tags}"
        saved = PartialSums(folder.partial.path, identity, whole_number(SAVE_BATCHES))
        told = adapter, job.input(CalibrationFolder).samples.read()["input_ids"], spec.criteria, spec.batch_size, mode
        loaded = time.perf_counter()
        if job.shards > 1:
            found = job.gathered(partial(_part, told, tags))
            result, tags = shared_pass(*told, checkpointing=True).completed(dict(found.sums)), dict(found.tags)
            seconds = found.sums["seconds"].item()
        else:
            result = collect_gradients(*told, switch(CHECKPOINTING), saved)
            seconds = time.perf_counter() - loaded
        timing = _timing(result, mode, loaded - begin, seconds)
        folder.saliency.write(_flat(result.saliency))
        folder.first_half.write(_flat(result.first_half))
        folder.statistics.write(StatisticsFile(**result.statistics.by_parameter_and_layer()))
        folder.stability.write(result.stability)
        folder.timing.write(timing)
        saved.discard()
        record.metrics |= {
            "grad/loss_nats": result.loss,
            "grad/tokens_per_second": timing.tokens_per_second,
            "grad/compute_seconds": timing.compute_seconds,
        }
        record.curves["grad/stability"] = list(result.stability.layers.values())
        record.tags |= tags | {"mode": mode.name, "batch_size": str(result.effort.batch_size)}


def collect_part(job: Job[GradientsSpec, GradientsFolder], shard: Shard) -> Part:
    """Return the sums over a shard of the batches."""
    spec, windows = job.spec, job.input(CalibrationFolder).samples.read()["input_ids"]
    if not numbers_of(shard, len(windows), spec.batch_size):
        return Part()
    model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(spec.dtype))
    told = adapter_for(model), windows, spec.criteria, spec.batch_size, shared_mode(spec.mode)
    return _part(told, compute_tags(model), shard)


def _part(told: tuple[ModelAdapter, Tensor, tuple[str, ...], int, Mode], tags: dict[str, str], shard: Shard) -> Part:
    _, windows, _, batch_size, _ = told
    some = numbers_of(shard, len(windows), batch_size)
    return Part(run_shard(*told, switch(CHECKPOINTING), shard), tags) if some else Part()


def _flat(saliency: Mapping[str, Scores]) -> dict[str, ndarray]:
    return {
        f"{criterion}/{block}": scores.numpy()
        for criterion, blocks in saliency.items()
        for block, scores in blocks.items()
    }


def _timing(result: GradientPass, mode: Mode, load_seconds: float, seconds: float) -> Timing:
    return Timing(
        load_seconds=round(load_seconds, 3),
        compute_seconds=round(seconds, 3),
        statistics_seconds=round(result.statistics_seconds, 3),
        statistics_share=round(result.statistics_seconds / seconds, 5),
        tokens=result.tokens,
        tokens_per_second=round(result.computed / seconds, 1),
        batch_size=result.effort.batch_size,
        checkpointing=result.effort.checkpointing,
        resumed_after_batches=result.resumed,
        resumed_after_layers=result.resumed_layers,
        mode=mode.name,
        reason=mode.reason,
    )
