"""What a script of an afternoon does: gradients in `.grad`, statistics by `.item()`, removal text by text.

The other side of `engines.py` and `gpu.py`, and used for nothing else. Written to be read at once and to be right,
as such scripts are; nothing in it is slow on purpose.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def gradients(model: nn.Module, windows: Tensor, batch_size: int = 8) -> tuple[dict[str, Tensor], dict[str, list]]:
    """Accumulate the gradients of all parameters; return |w·g| by prunable weight, and statistics by batch."""
    model.requires_grad_(True)
    statistics: dict[str, list[dict[str, float]]] = {}
    parts = windows.split(batch_size)
    for part in parts:
        loss = model(input_ids=part, labels=part, use_cache=False).loss / len(parts)
        loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is None or name.split(".")[-2] not in PROJECTIONS:
                continue
            magnitude = parameter.grad.abs()
            statistics.setdefault(name, []).append(
                {
                    "mean": magnitude.mean().item(),
                    "std": magnitude.std().item(),
                    "norm": parameter.grad.norm().item(),
                    "max": magnitude.max().item(),
                    "min": magnitude.min().item(),
                }
            )
    with torch.no_grad():
        saliency = {
            name: (parameter * parameter.grad).abs().float()
            for name, parameter in model.named_parameters()
            if name in statistics
        }
    model.zero_grad(set_to_none=True)
    model.requires_grad_(False)
    return saliency, statistics


def table(saliency: dict[str, Tensor], prior: dict[str, list[float]], head_dim: int, temperature: float) -> list[dict]:
    """Score every GQA group and channel, one at a time, and sort them."""
    rows: list[dict[str, Any]] = []
    layers = 1 + max(int(name.split(".")[2]) for name in saliency)
    for layer in range(layers):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        q, k, v = (saliency[f"{attention}.{name}_proj.weight"] for name in "qkv")
        o = saliency[f"{attention}.o_proj.weight"]
        width = q.shape[0] // (k.shape[0] // head_dim)
        for group in range(k.shape[0] // head_dim):
            queries, keys = (slice(group * size, (group + 1) * size) for size in (width, head_dim))
            total = q[queries].sum().item() + k[keys].sum().item() + v[keys].sum().item() + o[:, queries].sum().item()
            cost = q[queries].numel() + 2 * k[keys].numel() + o[:, queries].numel()
            rows.append(_row(layer, "attention", group, total, cost, prior["attention"][layer], temperature))
        gate, up, down = (saliency[f"{mlp}.{name}_proj.weight"] for name in ("gate", "up", "down"))
        for channel in range(gate.shape[0]):
            total = gate[channel].sum().item() + up[channel].sum().item() + down[:, channel].sum().item()
            cost = 3 * gate.shape[1]
            rows.append(_row(layer, "mlp", channel, total, cost, prior["mlp"][layer], temperature))
    return sorted(rows, key=lambda row: row["score"])


def _row(layer: int, block: str, group: int, total: float, cost: int, prior: float, temperature: float) -> dict:
    score = total / cost * math.log1p(max(prior, 0.0)) ** temperature
    return {"layer": layer, "block": block, "group": group, "saliency": total, "cost": cost, "score": score}


@torch.no_grad()
def removal(model: nn.Module, windows: Tensor, removals: Iterable[tuple[int, str]]) -> list[float]:
    """Return the loss increase of each removal (layer, part): a hook, and every text alone through the whole model."""
    dense = mean_loss(model, windows)
    increases = []
    for layer, part in removals:
        handles = _remove(model.model.layers[layer], part)
        increases.append(mean_loss(model, windows) - dense)
        for handle in handles:
            handle.remove()
    return increases


@torch.no_grad()
def mean_loss(model: nn.Module, windows: Tensor) -> float:
    """Return the mean loss over the texts, one at a time."""
    losses = [model(input_ids=text[None], labels=text[None]).loss.item() for text in windows]
    return sum(losses) / len(losses)


def _remove(layer: nn.Module, part: str) -> list:
    def silence(_: nn.Module, __: tuple, output: Any) -> Any:
        return (torch.zeros_like(output[0]), *output[1:]) if isinstance(output, tuple) else torch.zeros_like(output)

    modules = {"attention": [layer.self_attn], "mlp": [layer.mlp], "layer": [layer.self_attn, layer.mlp]}[part]
    return [module.register_forward_hook(silence) for module in modules]
