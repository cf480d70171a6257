"""The removal step: the prior of every block, from the calibration windows."""

import logging
import time
from functools import partial

from torch import Tensor, nn

from prunescope.artifacts.folders import CalibrationFolder, ModelFolder, RemovalFolder
from prunescope.artifacts.passes import BlockValues
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.memory import in_smaller_batches
from prunescope.steps.importance import RemovalSpec
from prunescope.steps.job import Job
from prunescope.trial.blocks import BlockImportance
from prunescope.trial.first_order import TOKENS, measure_first_order
from prunescope.trial.removal import RemovalLosses, measure_removal
from prunescope.trial.similarity import measure_similarity

log = logging.getLogger(__name__)


def measure(job: Job[RemovalSpec, RemovalFolder]) -> None:
    """Measure the prior of every block and layer.

    A value is a loss increase in nats per token (`removal`, measured or estimated) or 1 - cos of the residual
    stream (`similarity`). The measurement yields the similarity too.
    """
    spec, folder = job.spec, job.folder
    with job.recording(spec.model_dump(mode="json")) as record:
        model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(spec.dtype))
        windows = job.input(CalibrationFolder).samples.read()["input_ids"][: spec.samples]
        begin = time.perf_counter()
        result = _measure(spec, model, windows)
        record.metrics |= {
            "removal/dense_loss_nats": result.dense,
            "removal/compute_seconds": round(time.perf_counter() - begin, 3),
        }
        values = BlockValues.of(**result.by_part())
        folder.losses.write(values)
        record.curves |= {f"removal/{part}": [*curve] for part, curve in values.by_part().items()}
        if isinstance(result, RemovalLosses):
            folder.similarity.write(BlockValues.of(**result.similarity.by_part()))
        record.tags |= compute_tags(model)
        layer = max(range(len(result.layer)), key=result.layer.__getitem__)
        log.info("%s: layer %d matters most, %.3g", spec.prior, layer, result.layer[layer])


def _measure(spec: RemovalSpec, model: nn.Module, windows: Tensor) -> BlockImportance:
    adapter, batch_size = adapter_for(model), forward_batch(windows, model)
    measure = {"removal": measure_removal, "similarity": measure_similarity}[spec.prior]
    if spec.prior == "removal" and spec.estimate == "first_order":
        measure, batch_size = measure_first_order, max(1, TOKENS // windows.shape[1])
    return in_smaller_batches(partial(measure, adapter, windows), batch_size)
