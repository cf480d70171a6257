"""The removal step: the prior of every block, from the calibration windows."""

import logging
import time
from collections.abc import Callable
from functools import partial

import torch

from prunescope.artifacts.folders import CalibrationFolder, ModelFolder, RemovalFolder
from prunescope.artifacts.parts import Part
from prunescope.artifacts.passes import BlockValues
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.memory import in_smaller_batches
from prunescope.shards import Shard
from prunescope.steps.importance import RemovalSpec
from prunescope.steps.job import Job
from prunescope.trial.blocks import BlockImportance, Sums
from prunescope.trial.first_order import TOKENS, first_order_sums, loss_changes
from prunescope.trial.removal import RemovalLosses, loss_increases, removal_sums
from prunescope.trial.similarity import mean_distances, similarity_sums

log = logging.getLogger(__name__)

RemovalJob = Job[RemovalSpec, RemovalFolder]

WAYS: dict[str, tuple[Callable[..., Sums], Callable[[Sums], BlockImportance]]] = {
    "exact": (removal_sums, loss_increases),
    "first_order": (first_order_sums, loss_changes),
    "similarity": (similarity_sums, mean_distances),
}
"""How a prior is measured: its sums over windows, and what follows from them."""


def measure(job: RemovalJob) -> None:
    """Measure the prior of every block and layer.

    A value is a loss increase in nats per token (`removal`, measured or estimated) or 1 - cos of the residual
    stream (`similarity`). The measurement yields the similarity too.
    """
    spec, folder = job.spec, job.folder
    with job.recording(spec.model_dump(mode="json")) as record:
        found = job.gathered(partial(measure_part, job))
        result = WAYS[_way(spec)][1](dict(found.sums))
        record.metrics |= {
            "removal/dense_loss_nats": result.dense,
            "removal/compute_seconds": round(found.sums["seconds"].item(), 3),
        }
        values = BlockValues.of(**result.by_part())
        folder.losses.write(values)
        record.curves |= {f"removal/{part}": [*curve] for part, curve in values.by_part().items()}
        if isinstance(result, RemovalLosses):
            folder.similarity.write(BlockValues.of(**result.similarity.by_part()))
        record.tags |= found.tags
        layer = max(range(len(result.layer)), key=result.layer.__getitem__)
        log.info("%s: layer %d matters most, %.3g", spec.prior, layer, result.layer[layer])


def measure_part(job: RemovalJob, shard: Shard) -> Part:
    """Return the sums over a shard of the windows, and the seconds that they took."""
    spec = job.spec
    windows = job.input(CalibrationFolder).samples.read()["input_ids"][: spec.samples]
    windows = windows[shard.rows(len(windows))]
    if not len(windows):
        return Part()
    model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(spec.dtype))
    begin, way = time.perf_counter(), _way(spec)
    batch_size = max(1, TOKENS // windows.shape[1]) if way == "first_order" else forward_batch(windows, model)
    sums = in_smaller_batches(partial(WAYS[way][0], adapter_for(model), windows), batch_size)
    seconds = torch.tensor(time.perf_counter() - begin, dtype=torch.float64)
    return Part(sums | {"seconds": seconds}, compute_tags(model))


def _way(spec: RemovalSpec) -> str:
    return "similarity" if spec.prior == "similarity" else spec.estimate
