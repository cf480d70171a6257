"""Loading models: device and dtype, skeletons without weights, and the pruned architectures."""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from prunescope.errors import DataError
from prunescope.models.adapter import check_supported
from prunescope.models.facts import ModelFacts
from prunescope.models.pruned import register_pruned_architectures

log = logging.getLogger(__name__)


def default_device() -> torch.device:
    """Return the first GPU, or the CPU without one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """Resolve ``auto``: bfloat16 on a GPU, float32 on a CPU (many CPUs emulate bfloat16 a hundred times slower)."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, name)


def load_config(path: str | Path) -> PretrainedConfig:
    """Load a model's configuration and check that its architecture is supported."""
    register_pruned_architectures()  # so that a pruned one is refused by its name
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise DataError(f"config.json in {path} cannot be used: {str(error).splitlines()[0]}") from error
    check_supported(config)
    return config


def skeleton(config: PretrainedConfig) -> nn.Module:
    """Build the model without allocating weights (meta device)."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def load_model(facts: ModelFacts, dtype: str = "auto", device: torch.device | None = None) -> nn.Module:
    """Load the weights in the compute dtype, straight to the device, in evaluation mode and frozen."""
    device = device or default_device()
    return load_checkpoint(facts.path, compute_dtype(dtype, device), device)


def load_checkpoint(path: str | Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Load any checkpoint folder, pruned ones included, in evaluation mode and frozen; safetensors only."""
    register_pruned_architectures()
    model = AutoModelForCausalLM.from_pretrained(
        path,
        dtype=dtype,
        use_safetensors=True,
        device_map=device if device.type != "cpu" else None,
    )
    log.info("loaded %s as %s on %s", path, str(dtype).removeprefix("torch."), device)
    return model.eval().requires_grad_(False)


def load_tokenizer(path: str | Path):
    """Load a tokenizer."""
    return AutoTokenizer.from_pretrained(path)


def forward_batch(windows: Tensor, model: nn.Module) -> int:
    """Return how many windows a forward pass takes: about 2,048 tokens on a CPU, 16,384 on a GPU."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    return max(1, (16384 if on_gpu else 2048) // windows.shape[1])


def compute_tags(model: nn.Module) -> dict[str, str]:
    """Return the device and dtype that a step computed with, as tags."""
    parameter = next(model.parameters())
    return {"device": parameter.device.type, "dtype": str(parameter.dtype).removeprefix("torch.")}
