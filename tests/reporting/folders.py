"""Folders of experiments as the pipeline leaves them, with numbers that are easy to follow."""

from pathlib import Path

import numpy as np
import pandas as pd

from prunescope.files import write_json

COST = {"attention": 30, "mlp": 10}
GROUPS = {"attention": 2, "mlp": 4}


def write(
    root: Path, name: str, perplexity: dict, ratio=0.2, removed=((0, "mlp", 0),), mean=(4.0, 2.0, 1.0), losses=None,
    model="M", scores=None, **settings,
) -> Path:  # fmt: skip
    """Write one experiment.

    Args:
        perplexity: ``{"a w8": 20.0}`` or, with an interval, ``{"a w8": (20.0, 18.0, 22.0)}``.
        removed: groups as (layer, block, group). mean: of the gradients of each layer.
        losses: summed losses per window of the one text and protocol. scores: of all groups, ascending by default.
    """
    folder = root / model / name
    gone = pd.MultiIndex.from_tuples(removed)
    rows = [(layer, block, group) for layer in range(len(mean)) for block in GROUPS for group in range(GROUPS[block])]
    table = pd.DataFrame(rows, columns=["layer", "block", "group"])
    table["cost"] = table["block"].map(COST)
    table["removed"] = pd.MultiIndex.from_frame(table[["layer", "block", "group"]]).isin(gone)
    table["score"] = np.arange(len(table), dtype=float) if scores is None else scores
    (folder / "analysis").mkdir(parents=True)
    table.to_parquet(folder / "analysis/importance_table.parquet")
    write_json(folder / "analysis/pruning_summary.json", summary(table, ratio))
    layers = {str(layer): {"mean": value} for layer, value in enumerate(mean)}
    write_json(folder / "analysis/gradient_statistics.json", {"layers": layers})
    findings = [{"severity": severity} for severity in ("critical", "high", "high")]
    extreme = [{"layer_idx": 0}, {"layer_idx": 2}]
    report = {"num_extreme_layers": 2, "extreme_pruning_layers": extreme, "diagnosis": findings}
    write_json(folder / "analysis/gradient_diagnosis.json", report)
    baseline = dict.fromkeys(perplexity, 10.0)
    write_json(folder / "evaluation/perplexity.json", {"baseline": results(baseline), "pruned": results(perplexity)})
    params = {"dataset": "a", "method.ratio": ratio, "method.temperature": 0.0} | settings
    write_json(folder / "experiment.json", {"params": params})
    (folder / "model").mkdir()
    (folder / "model/model.safetensors").write_bytes(b"0" * 2_000_000)
    if losses is not None:
        write_losses(folder, next(iter(perplexity)), losses)
    return folder


def results(perplexity: dict) -> dict:
    content: dict = {}
    for measured, value in perplexity.items():
        text, protocol = measured.split()
        value, *interval = value if isinstance(value, tuple) else (value,)
        content.setdefault(text, {})[protocol] = {"perplexity": value} | ({"interval": interval} if interval else {})
    return content


def summary(table: pd.DataFrame, ratio: float) -> dict:
    layers = []
    for layer, groups in table.groupby("layer"):
        row = {"layer": layer}
        for block, part in groups.groupby("block"):
            row |= {f"{block}_params": int(part["cost"].sum()), f"{block}_rate": float(part["removed"].mean())}
            row[f"{block}_removed"] = int(part["cost"][part["removed"]].sum())
        row["rate"] = float((groups["cost"] * groups["removed"]).sum() / groups["cost"].sum())
        layers.append(row)
    return {
        "ratio_of_total": ratio, "ratio_of_decoder": 1.5 * ratio, "remaining_parameters": 800, "attention_rate": 0.5,
        "mlp_rate": 0.125, "layers": layers,
    }  # fmt: skip


def write_losses(folder: Path, measured: str, losses) -> None:
    text, protocol = measured.split()
    rows = {"dataset": text, "protocol": protocol, "window": np.arange(len(losses)), "tokens": 7, "pruned": losses}
    pd.DataFrame(rows).to_parquet(folder / "evaluation/windows.parquet")
