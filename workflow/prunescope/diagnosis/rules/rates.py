"""Rules on what selection decided: where the parameters were taken, and what limits did."""

from collections.abc import Iterable, Iterator

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence, block_layers
from prunescope.diagnosis.measures import Extreme, Measures
from prunescope.diagnosis.rules.observation import Observation


def early_extreme(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Extreme rates among the first layers, which everything after them builds on."""
    early = tuple(extreme for extreme in measures.extreme if extreme.layer < thresholds.early_layers)
    if early:
        numbers = {"count": len(early), "of": thresholds.early_layers} | _losses(early)
        numbers |= {"extreme_rate": thresholds.extreme_rate}
        yield Observation("early_layers_extreme", "critical", numbers, _layers(early))


def many_extreme(measures: Measures, evidence: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Too large a share of the layers above the extreme rate."""
    count, layers = len(measures.extreme), len(evidence.layers)
    if layers and count / layers > thresholds.extreme_share:
        numbers = {"share": count / layers, "count": count, "of": layers} | _losses(measures.extreme)
        numbers |= {"extreme_rate": thresholds.extreme_rate, "threshold": thresholds.extreme_share}
        yield Observation("many_extreme_layers", "high", numbers, _layers(measures.extreme))


def spread(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Rates of the same block type that differ too much between layers."""
    widest = max(measures.spreads, key=lambda spread: spread.value, default=None)
    if widest and widest.value > thresholds.rate_spread:
        numbers = {
            "block": widest.block,
            "spread": widest.value,
            "highest_layer": widest.highest_layer,
            "highest_rate": widest.highest_rate,
            "lowest_layer": widest.lowest_layer,
            "lowest_rate": widest.lowest_rate,
            "threshold": thresholds.rate_spread,
        }
        yield Observation("rate_spread", "high", numbers, (widest.highest_layer, widest.lowest_layer))


def imbalance(measures: Measures, _: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Attention and MLP pruned at very different rates over the whole model."""
    rates = {"attention": measures.attention_rate, "mlp": measures.mlp_rate}
    if None in rates.values():
        return
    lower, higher = sorted(rates, key=rates.get)
    difference = rates[higher] - rates[lower]
    if difference > thresholds.block_imbalance:
        numbers = {"higher": higher, "lower": lower, "higher_rate": rates[higher], "lower_rate": rates[lower]}
        numbers |= {"difference": difference, "threshold": thresholds.block_imbalance}
        yield Observation("block_imbalance", "high", numbers)


def limits(_: Measures, evidence: Evidence, thresholds: Diagnosis) -> Iterator[Observation]:
    """Limits that decided against the score, and whether they did so in most blocks that they are for.

    What is for a few layers only (`early_layers`, `protect`) counts among all blocks: it decides there by intention.
    """
    for bound in evidence.rates.bound:
        of_one_kind = bound.limit.startswith(("limits.attention", "limits.mlp"))
        blocks = len(evidence.layers) * (1 if of_one_kind else 2)
        share = len(bound.blocks) / blocks
        numbers = {"limit": bound.limit, "blocks": list(bound.blocks), "count": len(bound.blocks)}
        numbers |= {"of": blocks, "share": share}
        code, severity = ("limit_saturation", "high") if share > thresholds.saturation else ("limit_bound", "info")
        yield Observation(code, severity, numbers, bound.layers)


def collapsed(_: Measures, evidence: Evidence, __: Diagnosis) -> Iterator[Observation]:
    """Blocks that `collapse_below` removed whole."""
    found = evidence.rates.collapsed
    if found:
        numbers = {"blocks": list(found), "count": len(found)}
        yield Observation("collapsed_blocks", "info", numbers, block_layers(found))


def _losses(extreme: Iterable[Extreme]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the offending rates by block and layer: ``{"losses": {"mlp": {"2": 0.99}}}``."""
    losses: dict[str, dict[str, float]] = {}
    for found in extreme:
        for block, rate in found.above.items():
            losses.setdefault(block, {})[str(found.layer)] = rate
    return {"losses": losses}


def _layers(extreme: Iterable[Extreme]) -> tuple[int, ...]:
    return tuple(found.layer for found in extreme)
