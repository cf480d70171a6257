"""What a checkpoint costs by its shape alone: sizes, cache, operations."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunescope.models.configuration import skeleton


@dataclass(frozen=True)
class Cost:
    """What a model costs by its shape alone.

    Attributes:
        parameters: tied ones once. checkpoint_bytes: of its files. weight_bytes: in the compute dtype.
        kv_cache_bytes_per_token: of the cache after the prompt, per token of it and sequence.
        prefill_flops_per_token: floating-point operations (a multiplication and an addition are two) of the prompt,
            per token of it; attention counts all pairs of positions, and logits only the last.
        decode_flops_per_token: of one token after the prompt.
    """

    parameters: int
    checkpoint_bytes: int
    weight_bytes: int
    kv_cache_bytes_per_token: float
    prefill_flops_per_token: float | None = None
    decode_flops_per_token: int | None = None


def measure_cost(model: nn.Module, checkpoint: Path, prompt: int) -> Cost:
    """Count what a prompt of `prompt` tokens and the token after it cost.

    Operations are counted on a copy without weights: on a device PyTorch's counter misses fused attention kernels.
    """
    empty = skeleton(model.config).eval()
    tokens = torch.zeros((1, prompt), dtype=torch.int64, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as prefill:
        cache = empty(tokens, use_cache=True, logits_to_keep=1).past_key_values
    # A layer without attention leaves a slot at the end of the cache unused.
    cached = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers if layer.is_initialized)
    with torch.no_grad(), FlopCounterMode(display=False) as decode:
        empty(tokens[:, :1], past_key_values=cache, use_cache=True)
    parameters = list(model.parameters())
    return Cost(
        parameters=sum(parameter.numel() for parameter in parameters),
        checkpoint_bytes=sum(file.stat().st_size for file in checkpoint.glob("*.safetensors")),
        weight_bytes=sum(parameter.nbytes for parameter in parameters),
        kv_cache_bytes_per_token=cached * model.dtype.itemsize / prompt,
        prefill_flops_per_token=prefill.get_total_flops() / prompt,
        decode_flops_per_token=decode.get_total_flops(),
    )
