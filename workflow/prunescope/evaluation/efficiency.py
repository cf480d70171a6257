"""What pruning buys: speed, memory and size of checkpoints and GGUF files, measured in turn in one process."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from prunescope.artifacts.folders import ExperimentFolder, GgufBaselineFolder, ModelFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED, Measured, Numbers
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Efficiency
from prunescope.evaluation.cost import Cost, measure_cost
from prunescope.evaluation.hardware import describe_hardware
from prunescope.evaluation.llama_cpp_speed import LlamaCpp, gguf_cost
from prunescope.evaluation.speed import Engine, Runs, Transformers, measure_speed
from prunescope.models.loading import compute_dtype, compute_tags, default_device, load_together
from prunescope.steps.evaluation import EfficiencySpec
from prunescope.steps.job import Job
from prunescope.steps.table import TABLE


def measure(job: Job[EfficiencySpec, ExperimentFolder]) -> None:
    """Measure the unpruned, pruned and trained model, and the GGUF files of the first and the last of them.

    Raises:
        ExportError: llama.cpp does not run one of the files.
    """
    spec, folder, device = job.spec, job.folder, default_device()
    with job.recording() as record:
        facts = job.input(ModelFolder).ready()
        checkpoints = {BASELINE: Path(facts.path), PRUNED: folder.checkpoint.path}
        checkpoints |= {RECOVERED: folder.recovered.path} if spec.recovered else {}
        dtype = compute_dtype(spec.dtype, device)
        models = load_together(checkpoints, dtype, device, TABLE[spec.step].out_of_memory)
        files = gguf_files(job)
        costs = {name: measure_cost(model, checkpoints[name], spec.prompt) for name, model in models.items()}
        costs |= {name: gguf_cost(file) for name, file in files.items()}
        engines: dict[str, Engine] = {name: Transformers(model) for name, model in models.items()}
        engines |= {name: LlamaCpp(file, torch.get_num_threads()) for name, file in files.items()}
        measured = summarise(costs, measure_speed(engines, spec), spec.prompt)
        tags, attention = compute_tags(models[PRUNED]), models[PRUNED].config._attn_implementation
        settings = spec.model_dump(mode="json", include=set(Efficiency.model_fields)) | tags
        settings |= {"attention": attention, "hardware": describe_hardware(device).model_dump()}
        if files:
            ran = {"llama_cpp_python": version("llama-cpp-python"), "device": "cpu", "threads": torch.get_num_threads()}
            settings["llama_cpp"] = ran | {"kv_cache": "float16"}
        folder.efficiency.write(Measured(models=measured, settings=settings))
        for name, numbers in measured.items():
            _note(record, numbers, "speed/" if name == PRUNED else f"speed_{name}/")
        record.tags |= tags


def gguf_files(job: Job[EfficiencySpec, ExperimentFolder]) -> dict[str, Path]:
    """Return the GGUF files to measure by name, such as ``baseline_q8_0``: of the unpruned and the final checkpoint."""
    files, final = {}, RECOVERED if job.spec.recovered else PRUNED
    for kind in job.spec.gguf:
        files[f"{BASELINE}_{kind}"] = job.input(GgufBaselineFolder).named(GgufBaselineFolder.file, type=kind).path
        files[f"{final}_{kind}"] = job.folder.named(ExperimentFolder.gguf, type=kind).path
    return files


def summarise(costs: dict[str, Cost], speed: dict[int, dict[str, Runs]], prompt: int) -> dict[str, Numbers]:
    """Return what was measured, by name: the cost and, under ``batches``, the speed by batch size."""
    measured: dict[str, Numbers] = {}
    for name, cost in costs.items():
        batches = {f"b{batch}": runs[name].summary(batch, prompt, cost.weight_bytes) for batch, runs in speed.items()}
        measured[name] = asdict(cost) | {"batches": batches}
    return measured


def _note(record: StepRecord, measured: dict[str, Any], prefix: str) -> None:
    """Note numbers as ``speed/decode_tokens_per_second_b1``; those of the shape have no batch."""
    numbers = {name: value for name, value in measured.items() if name != "batches"}
    for batch, summary in measured["batches"].items():
        numbers |= {f"{name}_{batch}": value for name, value in summary.items()}
    record.metrics |= {f"{prefix}{name}": value for name, value in numbers.items() if value is not None}
