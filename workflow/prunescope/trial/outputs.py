"""The removal step: from a spec and the calibration windows to the files of the prior."""

import time
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import recording
from prunescope.files import write_json
from prunescope.importance.outputs import read_windows
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.memory import in_smaller_batches
from prunescope.steps.specs import RemovalSpec
from prunescope.trial.blocks import BlockImportance
from prunescope.trial.first_order import TOKENS, measure_first_order
from prunescope.trial.removal import RemovalLosses, measure_removal
from prunescope.trial.similarity import measure_similarity


def write_removal(spec: RemovalSpec, key: str, facts: ModelFacts, samples: Path, output: Path) -> None:
    """Measure the prior; write ``block_importance.json`` {attention, mlp, layer: {layer: value}}.

    A value is a loss increase in nats per token (`removal`, measured or estimated) or 1 - cos of the residual
    stream (`similarity`). The measurement yields the similarity too: ``similarity.json`` of the same form.
    """
    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        model = load_model(facts.path, calibration_dtype(spec.dtype))
        windows = read_windows(samples)[: spec.samples]
        begin = time.perf_counter()
        result = _measure(spec, model, windows)
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


def _measure(spec: RemovalSpec, model: nn.Module, windows: Tensor) -> BlockImportance:
    adapter, batch_size = adapter_for(model), forward_batch(windows, model)
    measure = {"removal": measure_removal, "similarity": measure_similarity}[spec.prior]
    if spec.prior == "removal" and spec.estimate == "first_order":
        measure, batch_size = measure_first_order, max(1, TOKENS // windows.shape[1])
    return in_smaller_batches(partial(measure, adapter, windows), batch_size)
