"""What pruning buys: speed, memory and size of checkpoints and GGUF files, measured in turn in one process."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.patches import flatten
from prunescope.config.sections import Efficiency
from prunescope.evaluation.cost import Cost, measure_cost
from prunescope.evaluation.hardware import describe_hardware
from prunescope.evaluation.llama_cpp_speed import LlamaCpp, gguf_cost
from prunescope.evaluation.speed import Runs, Transformers, measure_speed
from prunescope.files import write_json
from prunescope.models.loading import compute_dtype, compute_tags, default_device, load_checkpoint
from prunescope.steps.planned import RECOVERED
from prunescope.steps.specs import EfficiencySpec

BASELINE, PRUNED = "baseline", "pruned"


def write_efficiency(
    spec: EfficiencySpec, facts: ModelFacts, directory: Path, gguf_baseline: Path | None = None
) -> None:
    """Measure the unpruned, pruned and trained model, and their GGUF files; write ``evaluation/efficiency.json``.

    Its keys are the names of what was measured (``baseline``, ``pruned``, ``recovered``, ``baseline_q8_0``,
    ``pruned_q8_0`` or, where the model was trained, ``recovered_q8_0``), and ``settings``.

    Args:
        gguf_baseline: folder with the unpruned model as GGUF, for the types in `spec.gguf`.

    Raises:
        ExportError: llama.cpp does not run one of the files.
    """
    with recording(spec.step, spec.record_key, directory / "records/efficiency.json") as record:
        device = default_device()
        checkpoints = {BASELINE: Path(facts.path), PRUNED: directory / "model"}
        checkpoints |= {RECOVERED: directory / RECOVERED} if spec.recovered else {}
        models = {
            name: load_checkpoint(path, compute_dtype(spec.dtype, device), device) for name, path in checkpoints.items()
        }
        exported = list(checkpoints)[-1]
        files = gguf_files(spec.gguf, {BASELINE: gguf_baseline, exported: directory / "export/gguf"})
        costs = {name: measure_cost(model, checkpoints[name], spec.prompt) for name, model in models.items()}
        costs |= {name: gguf_cost(file) for name, file in files.items()}
        engines = {name: Transformers(model) for name, model in models.items()}
        engines |= {name: LlamaCpp(file, torch.get_num_threads()) for name, file in files.items()}
        measured = summarise(costs, measure_speed(engines, spec), spec.prompt)
        tags = compute_tags(models[PRUNED])
        settings = spec.model_dump(include=set(Efficiency.model_fields)) | tags
        settings |= {"attention": models[PRUNED].config._attn_implementation, "hardware": describe_hardware(device)}
        settings |= {"llama_cpp": describe_llama_cpp()} if files else {}
        write_json(directory / "evaluation/efficiency.json", measured | {"settings": settings})
        for name, numbers in measured.items():
            _note(record, numbers, "speed/" if name == PRUNED else f"speed_{name}/")
        record.tags |= tags
        record.artifacts.append("../evaluation/efficiency.json")


def gguf_files(types: tuple[str, ...], folders: dict[str, Path | None]) -> dict[str, Path]:
    """Return the GGUF files to measure, by name; `folders`: where they are, by the checkpoint they were made of."""
    return {f"{name}_{kind}": folder / f"{kind}.gguf" for kind in types for name, folder in folders.items()}


def summarise(costs: dict[str, Cost], speed: dict[int, dict[str, Runs]], prompt: int) -> dict[str, dict[str, Any]]:
    """Return what was measured, by name: the cost and, under ``batches``, the speed by batch size."""
    return {
        name: asdict(cost)
        | {
            "batches": {
                f"b{batch}": runs[name].summary(batch, prompt, cost.weight_bytes) for batch, runs in speed.items()
            }
        }
        for name, cost in costs.items()
    }


def describe_llama_cpp() -> dict[str, Any]:
    """Return how llama.cpp ran; its threads are as many as PyTorch's."""
    return {
        "llama_cpp_python": version("llama-cpp-python"),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "kv_cache": "float16",
    }


def _note(record: StepRecord, measured: dict[str, Any], prefix: str) -> None:
    """Note numbers as ``speed/decode_tokens_per_second_b1``; those of the shape have no batch."""
    shape = {name: value for name, value in measured.items() if name != "batches"}
    by_batch = {
        f"{name}_{batch}": value for batch, summary in measured["batches"].items() for name, value in summary.items()
    }
    record.metrics |= {f"{prefix}{name}": v for name, v in flatten(shape | by_batch).items() if v is not None}
