"""Time the selection of a 7B model, from saliency arrays to the plan, against a loop over groups.

    python benchmarks/selection.py

32 layers x (14,336 channels + 8 groups), the shape of Mistral-7B-v0.3; every correction and every limit
is on. The loop does less: it neither collapses blocks nor fills the rest of the budget.
"""

import math
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from prunescope.artifacts.facts import KINDS, BlockFacts, ModelFacts
from prunescope.artifacts.passes import BlockValues
from prunescope.config.sections import BlockLimits, Corrections, EarlyLayers, Limits, Method
from prunescope.importance.prior import Prior, choose_prior
from prunescope.importance.selection import Selection, mark_removed, select
from prunescope.importance.table import build_table

LAYERS, KV_GROUPS, CHANNELS, HIDDEN, HEAD_DIM, HEADS_PER_GROUP = 32, 8, 14_336, 4_096, 128, 4
RATIO, RUNS = 0.2, 5
METHOD = Method(combine="share", ratio=RATIO)
CORRECTIONS = Corrections(normalize="log", scope="layer", clip=(5, 95), mean=True, depth_weight=0.5)
LIMITS = Limits(
    min_rate=0.02,
    max_rate=0.8,
    attention=BlockLimits(max_rate=0.6),
    mlp=BlockLimits(min_rate=0.05),
    early_layers=EarlyLayers(count=5, max_rate=0.3),
    protect=(0, 1, -1),
    collapse_below=0.5,
    width_multiple=32,
)
FREE_TO_COLLAPSE = LIMITS.model_copy(update={"max_rate": 1.0, "attention": BlockLimits()})

Saliency = dict[str, np.ndarray]


def mistral() -> ModelFacts:
    """Return the facts of a model of this shape, embedding and head included."""
    attention_cost = HIDDEN * HEAD_DIM * (2 * HEADS_PER_GROUP + 2)
    blocks = tuple(
        block
        for layer in range(LAYERS)
        for block in (
            BlockFacts(layer, "attention", KV_GROUPS, attention_cost, HIDDEN),
            BlockFacts(layer, "mlp", CHANNELS, 3 * HIDDEN, HIDDEN),
        )
    )
    decoder = sum(block.parameters + block.overhead for block in blocks)
    return ModelFacts(
        name="synthetic-7b", path="", origin="", revision=None, model_type="mistral", dtype="bfloat16", context=4096,
        layers=LAYERS, total_parameters=decoder + 2 * 32_768 * HIDDEN + HIDDEN, decoder_parameters=decoder,
        blocks=blocks,
    )  # fmt: skip


def synthetic(facts: ModelFacts, seed: int = 0) -> tuple[Saliency, Prior]:
    """Return lognormal saliencies whose scale differs from block to block, and a lognormal prior."""
    random = np.random.default_rng(seed)
    saliency = {
        f"{block.layer}.{block.block}": block.cost * random.lognormal(random.normal(0, 2), 1.5, block.groups)
        for block in facts.blocks
    }
    removal = {part: random.lognormal(-2, 1.5, facts.layers) for part in (*KINDS, "layer")}
    return saliency, choose_prior(BlockValues.of(**removal), "auto")


def vectorised(facts: ModelFacts, saliency: Saliency, prior: Prior, limits: Limits) -> Selection:
    """Do what the importance step does between reading and writing."""
    table = build_table(facts.blocks, saliency, prior, METHOD, CORRECTIONS)
    selection = select(table, facts, RATIO, limits)
    mark_removed(table, selection.plan)
    return selection


def loop(facts: ModelFacts, saliency: Saliency, prior: Prior) -> int:
    """Do the same one group at a time; returns the parameters that go."""
    scores = {}
    for layer in range(facts.layers):
        blocks = [block for block in facts.blocks if block.layer == layer]
        values = {b.block: [x / b.cost for x in saliency[f"{layer}.{b.block}"].tolist()] for b in blocks}
        together = sorted(x for block in values.values() for x in block)
        low, high = (together[round((len(together) - 1) * percent / 100)] for percent in CORRECTIONS.clip)
        values = {kind: [min(max(x, low), high) for x in block] for kind, block in values.items()}
        mean = sum(sum(block) for block in values.values()) / len(together)
        for block in blocks:
            logs = [math.log1p(x / mean) for x in values[block.block]]
            average = sum(logs) / len(logs)
            logs = [x / average for x in logs]
            worth = max(prior.of(block), METHOD.prior_floor) * (1 + (1 - layer / facts.layers) * 0.5)
            scores[layer, block.block] = [x / sum_ * worth / block.cost for sum_ in [sum(logs)] for x in logs]
    return _cut_in_a_loop(facts, scores)


def _cut_in_a_loop(facts: ModelFacts, scores: dict[tuple[int, str], list[float]]) -> int:
    units, spent = [], 0
    protected = {index % facts.layers for index in LIMITS.protect}
    for number, block in enumerate(facts.blocks):
        most = 0.6 if block.block == "attention" else 0.8
        most = min(most, 0.3) if block.layer < 5 else most
        most = 0.0 if block.layer in protected else most
        least = min(0.02 if block.block == "attention" else 0.05, most)
        size = 1 if block.block == "attention" else LIMITS.width_multiple
        score = scores[block.layer, block.block]
        order = sorted(range(block.groups), key=score.__getitem__)
        for start in range(0, block.groups, size):
            if start + size > most * block.groups:
                break
            unit = sum(score[group] for group in order[start : start + size]) / size
            units.append((start >= least * block.groups, unit, number, size * block.cost))
    for _, _, _, cost in sorted(units):
        if spent + cost > RATIO * facts.total_parameters:
            break
        spent += cost
    return spent


def best_of(runs: int, function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the shortest wall time in seconds, and the result."""
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - begin)
    return min(seconds), result


def main() -> None:
    """Print the times, their ratio and the machine."""
    facts = mistral()
    saliency, prior = synthetic(facts)
    groups = sum(block.groups for block in facts.blocks)
    slow, removed = best_of(1, loop, facts, saliency, prior)
    print(f"{groups:,} groups on one core of {_processor()}, Python {platform.python_version()}")
    print(f"loop over groups: {slow:.3f} s, {removed / facts.total_parameters:.5f} of all parameters go")
    cases = {
        "all limits": LIMITS,
        "blocks may collapse": FREE_TO_COLLAPSE,
        "width_multiple 1": FREE_TO_COLLAPSE.model_copy(update={"width_multiple": 1}),
    }
    for name, limits in cases.items():
        fast, selection = best_of(RUNS, vectorised, facts, saliency, prior, limits)
        gone = selection.plan.removed_parameters / facts.total_parameters
        print(
            f"{name}: {fast:.3f} s (best of {RUNS}), {slow / fast:.1f} times faster, {gone:.5f} go, "
            f"{len(selection.collapsed)} blocks collapsed"
        )


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:  # noqa: PTH123
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
