"""Loading models: device and dtype, skeletons without weights, and the pruned architectures."""

import logging
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from prunescope.errors import ConfigError, DataError
from prunescope.models.adapter import adapter_for, check_supported
from prunescope.models.memory import free_memory, gib
from prunescope.models.offload import OffloadedLayers
from prunescope.models.pruned import register_pruned_architectures
from prunescope.models.weights import WeightReader, check_shards

log = logging.getLogger(__name__)

LIMIT = "PRUNESCOPE_DEVICE_MEMORY"
SHARE = 0.75
"""Of the free memory of a device, for weights; the rest is for activations and sums."""


def default_device() -> torch.device:
    """Return the first GPU, or the CPU without one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """Resolve ``auto``: bfloat16 on a GPU that computes in it; else float32. On a CPU it would gain little."""
    if name == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    return getattr(torch, name)


def calibration_dtype(name: str) -> str:
    """Resolve the ``auto`` of gradients and removal: bfloat16 also on a CPU, if it has instructions for it."""
    if name == "auto" and default_device().type == "cpu" and native_bfloat16():
        return "bfloat16"
    return name


def native_bfloat16() -> bool:
    """Say whether the CPU multiplies bfloat16 by itself; emulated it is a hundred times slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") or capabilities.get("bf16"))


def load_config(path: str | Path) -> PretrainedConfig:
    """Load a model's configuration and check that its architecture is supported."""
    config = load_any_config(path)
    check_supported(config)
    return config


def load_any_config(path: str | Path) -> PretrainedConfig:
    """Load the configuration of a model of any architecture that transformers knows, pruned ones included."""
    register_pruned_architectures()
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise DataError(f"config.json in {path} cannot be used: {str(error).splitlines()[0]}") from error


def skeleton(config: PretrainedConfig) -> nn.Module:
    """Build the model without allocating weights (meta device)."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def load_model(path: str | Path, dtype: str = "auto") -> nn.Module:
    """Load any checkpoint folder, pruned ones included, in the compute dtype, wherever its weights fit.

    On the default device, if they fit there; else over all GPUs, if whole layers do; else layer by layer, see
    `models.offload`. In evaluation mode and frozen.

    Raises:
        DataError: the configuration is of no use, or a shard is damaged.
    """
    device = default_device()
    resolved = compute_dtype(dtype, device)
    model = skeleton(load_any_config(path)).to(resolved)
    needed, memory = sum(parameter.nbytes for parameter in model.parameters()), weight_memory(device)
    if needed <= memory:
        return load_checkpoint(path, resolved, device)
    if device.type == "cuda" and (places := spread_layers(model)):
        return load_checkpoint(path, resolved, device, places)
    log.info("%s of weights, %s of memory: layers are read from %s as they run", gib(needed), gib(memory), path)
    return load_offloaded(path, resolved, device)


def spread_layers(model: nn.Module) -> dict[str, int] | None:
    """Return which GPU each module of a skeleton goes to, layers undivided; None: they do not fit on all together."""
    from accelerate import infer_auto_device_map

    memory = {gpu: weight_memory(torch.device("cuda", gpu)) for gpu in range(torch.cuda.device_count())}
    places = infer_auto_device_map(model, memory, no_split_module_classes=model._no_split_modules)
    return None if "disk" in places.values() else places


def device_for(weights: int) -> torch.device:
    """Return the default device if so many bytes of weights fit there, else the CPU."""
    device = default_device()
    return device if weights <= weight_memory(device) else torch.device("cpu")


def weight_memory(device: torch.device) -> int:
    """Return the bytes that weights may take per device: `LIMIT` GiB if it is set, else `SHARE` of what is free."""
    limit = os.environ.get(LIMIT)
    try:
        return int(float(limit) * 2**30) if limit else int(SHARE * free_memory(device))
    except ValueError:
        raise ConfigError(f"{LIMIT} = '{limit}': must be a number of GiB, for example 20") from None


def load_checkpoint(
    path: str | Path, dtype: torch.dtype, device: torch.device, places: dict[str, int] | None = None
) -> nn.Module:
    """Load any checkpoint folder, pruned ones included, in evaluation mode and frozen; safetensors only.

    Args:
        places: which GPU each module goes to, where one does not hold them all.

    Raises:
        DataError: a shard is damaged.
    """
    register_pruned_architectures()
    try:
        where = places or (device if device.type != "cpu" else None)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, device_map=where)
    except SafetensorError:
        check_shards(Path(path))  # says which one
        raise
    gpus = f"{len(set(places.values()))} GPUs" if places else device
    log.info("loaded %s as %s on %s", path, str(dtype).removeprefix("torch."), gpus)
    return model.eval().requires_grad_(False)


def load_offloaded(path: str | Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Load embedding, final norm and head; leave the decoder layers in the checkpoint until they run."""
    from accelerate import init_empty_weights
    from accelerate.utils import set_module_tensor_to_device

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(load_any_config(path), dtype=dtype)
    model.tie_weights()  # tied parameters are there once, as in the checkpoint
    adapter = adapter_for(model)
    weights = WeightReader(Path(path))
    prefixes = {adapter.layer_prefix(index): layer for index, layer in enumerate(adapter.layers)}
    for name in adapter.parameters:
        if not name.startswith(tuple(prefixes)):
            set_module_tensor_to_device(model, name, device, value=weights.read(name), dtype=dtype)
    model.tie_weights()
    for buffer in model.buffers():
        buffer.data = buffer.data.to(device)
    model.offloaded_layers = OffloadedLayers(prefixes, weights.read, device, dtype)
    return model.eval().requires_grad_(False)


def forward_batch(windows: Tensor, model: nn.Module) -> int:
    """Return how many windows a forward pass takes: about 2,048 tokens on a CPU, 16,384 on a GPU."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    return max(1, (16384 if on_gpu else 2048) // windows.shape[1])


def compute_tags(model: nn.Module) -> dict[str, str]:
    """Return the device and dtype that a step computed with, as tags."""
    parameter = next(model.parameters())
    return {"device": parameter.device.type, "dtype": str(parameter.dtype).removeprefix("torch.")}
