"""Rules on what selection did beside ranking, on the texts behind it, and on how numbers were read."""

from collections.abc import Iterator

from prunescope.config.leakage import Leakage
from prunescope.diagnosis import changes
from prunescope.diagnosis.evidence import block_layers
from prunescope.diagnosis.rules.base import Observation, rule
from prunescope.diagnosis.situation import Situation


@rule("high", changes.lower_ratio)
def limit_saturation(now: Situation) -> Iterator[Observation]:
    """Limits that decided against the score in most of the blocks that they are for."""
    return _bound(now, saturated=True)


@rule("info")
def limit_bound(now: Situation) -> Iterator[Observation]:
    """Limits that decided against the score in some of the blocks that they are for."""
    return _bound(now, saturated=False)


def _bound(now: Situation, saturated: bool) -> Iterator[Observation]:
    """Limits for a few layers (`early_layers`, `protect`) count among all blocks: they decide there by intention."""
    for bound in now.evidence.rates.bound:
        of_one_kind = bound.limit.startswith(("limits.attention", "limits.mlp"))
        blocks = len(now.evidence.layers) * (1 if of_one_kind else 2)
        share = len(bound.blocks) / blocks
        if (share > now.thresholds.saturation) is saturated:
            numbers = {"limit": bound.limit, "blocks": bound.blocks, "count": len(bound.blocks)}
            yield Observation(numbers | {"of": blocks, "share": share}, block_layers(bound.blocks))


@rule("info")
def collapsed_blocks(now: Situation) -> Iterator[Observation]:
    """Blocks that `collapse_below` removed whole."""
    found = now.evidence.rates.collapsed
    if found:
        yield Observation({"blocks": list(found), "count": len(found)}, block_layers(found))


@rule("info")
def negative_removal_delta(now: Situation) -> Iterator[Observation]:
    """Blocks whose removal lowered the loss, counted as zero."""
    found = now.evidence.rates.negative_deltas
    if found:
        deltas = {f"{delta.layer}.{delta.block}": delta.delta for delta in found}
        yield Observation({"deltas": deltas, "count": len(found)}, block_layers(deltas))


@rule("info")
def rates_in_percent(now: Situation) -> Iterator[Observation]:
    """Rates that a file gave as percentages, which were divided by 100."""
    if now.evidence.rates.percent:
        highest = max((spread.highest_rate for spread in now.measures.spreads), default=None)
        yield Observation({"highest_rate": highest})


@rule("info", of_gradients=True)
def sizes_unknown(now: Situation) -> Iterator[Observation]:
    """Statistics of layers that were pooled from those of parameters whose sizes no file says."""
    if now.evidence.statistics.unweighted:
        yield Observation({})


@rule("high", changes.other_text)
def shared_documents(now: Situation) -> Iterator[Observation]:
    """Calibration on the very documents that perplexity is measured on."""
    return _shared(now, "documents")


@rule("info")
def shared_source(now: Situation) -> Iterator[Observation]:
    """Calibration and evaluation on different documents of the same source."""
    return _shared(now, "source")


def _shared(now: Situation, kind: Leakage) -> Iterator[Observation]:
    texts = now.evidence.texts
    if shared := texts.with_leakage(kind):
        yield Observation({"texts": shared, "others": texts.with_leakage("none")})
