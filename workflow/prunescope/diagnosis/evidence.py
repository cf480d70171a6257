"""What a diagnosis rests on: gradient statistics, pruning rates and, where there are some, scores and stability."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from prunescope.artifacts.diagnosis import ComparedStability
from prunescope.artifacts.facts import KINDS, BlockFacts
from prunescope.artifacts.summary import BoundLimit, NegativeDelta
from prunescope.config.leakage import Leakage
from prunescope.config.sections import Limits

STATISTICS = ("mean", "std", "norm", "max", "min")
RATES = ("attention_rate", "mlp_rate", "rate")
FINE = 1024
"""Groups that a block is taken to have where none are known."""
COUNTS = ("attention_params", "attention_removed", "mlp_params", "mlp_removed")


@dataclass(frozen=True)
class Statistics:
    """Gradient statistics of |g|.

    Attributes:
        layers: one row per layer (index `layer`), columns `STATISTICS`; NaN where a value was not finite.
        non_finite: names of the parameters with a value that was not finite.
        non_finite_layers: the layers of which an aggregate was not finite.
        unweighted: whether they were pooled from parameters of unknown sizes, which counted the same.
    """

    layers: pd.DataFrame
    non_finite: tuple[str, ...]
    non_finite_layers: tuple[int, ...]
    unweighted: bool = False


@dataclass(frozen=True)
class Rates:
    """What selection decided.

    Attributes:
        layers: one row per layer (index `layer`), columns `RATES` (in [0, 1]) and `COUNTS` (parameters);
            NaN where unknown.
        model, experiment: names, empty when unknown (CSV). target_ratio: of all parameters, or None.
        limits: the limits in force, or None when unknown. bound: limits that bound.
        collapsed: blocks that `collapse_below` removed whole. negative_deltas: removal losses below zero.
        percent: whether the file held percentages.
    """

    layers: pd.DataFrame
    model: str = ""
    experiment: str = ""
    target_ratio: float | None = None
    limits: Limits | None = None
    bound: tuple[BoundLimit, ...] = ()
    collapsed: tuple[str, ...] = ()
    negative_deltas: tuple[NegativeDelta, ...] = ()
    percent: bool = False


@dataclass(frozen=True)
class Texts:
    """Names of the texts that calibration draws on and that perplexity is measured on; empty when unknown.

    Attributes:
        leakage: what each evaluated text has in common with the calibration texts, whatever their names.
    """

    calibration: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    leakage: Mapping[str, Leakage] = field(default_factory=dict)

    def with_leakage(self, kind: Leakage) -> list[str]:
        """Return the evaluated texts that leak this much."""
        return [text for text in self.evaluation if self.leakage.get(text) == kind]


NO_TEXTS = Texts()


@dataclass(frozen=True)
class Evidence:
    """Statistics, rates and importance joined by layer.

    Attributes:
        layers: one row per layer (index `layer`, every layer from 0 on), columns `STATISTICS`, `RATES`,
            `COUNTS` and `importance`; NaN where unknown.
        scores: mean score of each block (index ``3.mlp``), empty without a table.
        blocks: all blocks, as selection cuts them (without a table: in groups as fine as a rate can tell).
    """

    layers: pd.DataFrame
    statistics: Statistics
    rates: Rates
    blocks: tuple[BlockFacts, ...]
    scores: pd.Series
    stability: ComparedStability | None
    texts: Texts


def join_evidence(
    statistics: Statistics,
    rates: Rates,
    table: pd.DataFrame | None = None,
    stability: ComparedStability | None = None,
    texts: Texts = NO_TEXTS,
) -> Evidence:
    """Join by layer; the last layer that either of them knows says how many there are.

    Args:
        table: the importance table, a row per group.
    """
    layers = statistics.layers.join(rates.layers, how="outer")
    layers = layers.reindex(pd.RangeIndex(layers.index.max() + 1, name="layer"))
    layers["importance"] = math.nan if table is None else layer_importance(table).reindex(layers.index)
    scores = pd.Series(dtype=float) if table is None else block_scores(table)
    blocks = assumed_blocks(layers) if table is None else table_blocks(table)
    return Evidence(layers, statistics, rates, blocks, scores, stability, texts)


def table_blocks(table: pd.DataFrame) -> tuple[BlockFacts, ...]:
    """Return the blocks of an importance table; what goes with a whole block is not in it."""
    found = table.groupby(["layer", "block"], observed=True, sort=False)["cost"].agg(["size", "first"])
    return tuple(
        BlockFacts(int(layer), kind, int(groups), int(cost), overhead=0)
        for (layer, kind), groups, cost in found.itertuples()
    )


def assumed_blocks(layers: pd.DataFrame) -> tuple[BlockFacts, ...]:
    """Return blocks of the sizes in `layers` (of one size where it knows none), in `FINE` groups each."""
    sizes = layers[[f"{kind}_params" for kind in KINDS]]
    costs = (sizes / FINE).round() if sizes.notna().all(axis=None) else sizes * 0 + 1
    costs = costs.fillna(1).clip(lower=1).astype(int)
    return tuple(
        BlockFacts(int(layer), kind, FINE, int(row[f"{kind}_params"]), overhead=0)
        for layer, row in costs.iterrows()
        for kind in KINDS
    )


def layer_importance(table: pd.DataFrame) -> pd.Series:
    """Return the importance of each layer: the mean score of its groups, weighted by their cost.

    A score is per parameter, so that the weighted mean is the layer's score as one big group:
    ``sum(score * cost) / sum(cost)`` over attention and MLP groups together. Shape [layers].
    """
    weighted = (table["score"] * table["cost"]).groupby(table["layer"]).sum()
    return (weighted / table.groupby("layer")["cost"].sum()).rename("importance")


def block_scores(table: pd.DataFrame) -> pd.Series:
    """Return the mean score of each block, index ``3.mlp``; groups of a block all cost the same."""
    means = table.groupby(["layer", "block"], observed=True)["score"].mean()
    means.index = [f"{layer}.{block}" for layer, block in means.index]
    return means


def block_layers(blocks: Iterable[str]) -> tuple[int, ...]:
    """Return the layers of blocks such as ``3.mlp``."""
    return tuple(sorted({int(block.split(".")[0]) for block in blocks}))
