"""Loading models: on which device, in which dtype, and filled from the checkpoint."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from prunescope.environment import DEVICE_MEMORY, gibibytes
from prunescope.errors import DataError
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import Checkpoint, open_checkpoint
from prunescope.models.memory import free_memory, gib
from prunescope.models.offload import OffloadedLayers
from prunescope.progress import Progress

log = logging.getLogger(__name__)

SHARE = 0.75
"""Of the free memory of a device, for weights; the rest is for activations and sums."""


SHORT = 512
"""Tokens of a window up to which fused attention is the slower one in bfloat16 on a CPU, with its gradient."""


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


def attend_backwards(model: nn.Module, tokens: int) -> None:
    """Let a model that is trained on windows of so many tokens take the attention that is quickest there, and back.

    On a CPU in bfloat16 this is the product of whole matrices, up to `SHORT` tokens (docs/recovery.md, Measured); else
    it stays what the model was loaded with.
    """
    parameter = next(model.parameters())
    if parameter.device.type == "cpu" and parameter.dtype == torch.bfloat16 and tokens <= SHORT:
        model.set_attn_implementation("eager")


def load_model(path: str | Path, dtype: str = "auto", reserved: int = 0) -> nn.Module:
    """Load a checkpoint folder, pruned ones included, in the compute dtype, wherever its weights fit.

    On the default device, if they fit there; else over all GPUs, if whole layers do; else layer by layer, see
    `models.offload`. In evaluation mode and frozen.

    Args:
        reserved: bytes of the default device that something else will need.

    Raises:
        DataError: see `open_checkpoint`.
    """
    device = default_device()
    resolved = compute_dtype(dtype, device)
    checkpoint = open_checkpoint(path)
    model = checkpoint.skeleton.to(resolved)
    needed, memory = sum(parameter.nbytes for parameter in model.parameters()), weight_memory(device) - reserved
    if needed <= memory:
        return fill(checkpoint, resolved, device)
    if device.type == "cuda" and (places := spread_layers(model, reserved)):
        return fill(checkpoint, resolved, device, places)
    log.info("%s of weights, %s of memory: layers are read from %s as they run", gib(needed), gib(memory), path)
    return fill_around_layers(checkpoint, resolved, device)


def spread_layers(model: nn.Module, reserved: int = 0) -> dict[str, int] | None:
    """Return which GPU each module of a skeleton goes to, layers undivided; None: they do not fit on all together.

    Args:
        reserved: bytes of the first one that something else will need.
    """
    from accelerate import infer_auto_device_map

    memory = {gpu: weight_memory(torch.device("cuda", gpu)) for gpu in range(torch.cuda.device_count())}
    memory[0] = max(0, memory[0] - reserved)
    places = infer_auto_device_map(model, memory, no_split_module_classes=model._no_split_modules)
    return None if "disk" in places.values() else places


def weight_memory(device: torch.device) -> int:
    """Return the bytes that weights may take per device: `DEVICE_MEMORY` if it is set, else `SHARE` of what is free."""
    limit = gibibytes(DEVICE_MEMORY)
    return int(SHARE * free_memory(device)) if limit is None else int(limit * 2**30)


def load_checkpoint(path: str | Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Load a checkpoint folder, pruned ones included, on one device; in evaluation mode and frozen.

    Raises:
        DataError: see `open_checkpoint`.
    """
    return fill(open_checkpoint(path), dtype, device)


def load_together(
    paths: Mapping[str, Path], dtype: torch.dtype, device: torch.device, way_out: str
) -> dict[str, nn.Module]:
    """Load checkpoint folders as wholes on one device, after comparing what they need with what is free.

    Args:
        way_out: what to do where they do not fit.

    Raises:
        DataError: see `open_checkpoint`, or they do not fit.
    """
    checkpoints = {name: open_checkpoint(path) for name, path in paths.items()}
    needed = sum(parameter.numel() for one in checkpoints.values() for parameter in one.skeleton.parameters())
    needed, free = needed * dtype.itemsize, free_memory(device)
    if needed > free:
        raise DataError(f"{gib(needed)} of weights do not fit into the {gib(free)} free on {device}: {way_out}")
    return {name: fill(checkpoint, dtype, device) for name, checkpoint in checkpoints.items()}


def load_offloaded(path: str | Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Load embedding, final norm and head of a checkpoint folder; its layers stay there until they run.

    Raises:
        DataError: see `open_checkpoint`.
    """
    return fill_around_layers(open_checkpoint(path), dtype, device)


def fill(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device, places: dict[str, int] | None = None
) -> nn.Module:
    """Return the model with all its weights.

    Args:
        places: which GPU each module goes to, where one does not hold them all.
    """
    model = _without_weights(checkpoint, dtype)
    names = checkpoint.in_file_order
    progress = Progress("loading", total=len(names), unit="tensors", quick=True)
    for name in names:
        _set(model, name, checkpoint.read(name), _place(name, places) if places else device, dtype)
        progress.advance(1)
    _settle(model, device)
    if places:
        from accelerate import dispatch_model

        dispatch_model(model, device_map=places)
    where = f"{len(set(places.values()))} GPUs" if places else device
    log.info("loaded %s as %s on %s", checkpoint.folder, str(dtype).removeprefix("torch."), where)
    return model


def fill_around_layers(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return the model with its weights outside the decoder layers, which are read as they run."""
    model = _without_weights(checkpoint, dtype)
    adapter = adapter_for(model)
    prefixes = {adapter.layer_prefix(index): layer for index, layer in enumerate(adapter.layers)}
    for name in checkpoint.in_file_order:
        if not name.startswith(tuple(prefixes)):
            _set(model, name, checkpoint.read(name), device, dtype)
    _settle(model, device)
    model.offloaded_layers = OffloadedLayers(prefixes, checkpoint.read, device, dtype, checkpoint.read_ahead)
    return model


def _without_weights(checkpoint: Checkpoint, dtype: torch.dtype) -> nn.Module:
    """Return the model with its buffers, and parameters without values, tied ones there once."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(checkpoint.config, dtype=dtype)
    model.tie_weights()
    return model.eval().requires_grad_(False)


def _set(model: nn.Module, name: str, values: Tensor, device: int | torch.device, dtype: torch.dtype) -> None:
    from accelerate.utils import set_module_tensor_to_device

    set_module_tensor_to_device(model, name, device, value=values, dtype=dtype)


def _settle(model: nn.Module, device: torch.device) -> None:
    """Tie again what is tied, and put the buffers on the device."""
    model.tie_weights()
    for buffer in model.buffers():
        buffer.data = buffer.data.to(device)
    model.requires_grad_(False)


def _place(name: str, places: dict[str, int]) -> int:
    return next(place for module, place in places.items() if not module or name.startswith(f"{module}."))


def forward_batch(windows: Tensor, model: nn.Module) -> int:
    """Return how many windows a forward pass takes: about 2,048 tokens on a CPU, 16,384 on a GPU."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    return max(1, (16384 if on_gpu else 2048) // windows.shape[1])


def compute_tags(model: nn.Module) -> dict[str, str]:
    """Return the device and dtype that a step computed with, as tags."""
    parameter = next(model.parameters())
    return {"device": parameter.device.type, "dtype": str(parameter.dtype).removeprefix("torch.")}
