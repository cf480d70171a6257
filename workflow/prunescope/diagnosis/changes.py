"""Changes of the configuration that a finding can suggest.

The six families of the guide: block correction (and sharing out the prior); rate limits; windows and samples;
normalisation and clipping; calibration text; depth weight, protected layers and collapse. Beside them: full precision
and a lower ratio. Of an experiment whose settings are unknown only those limits are changed that its rates show not
to be in force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prunescope.config.patches import Patch
from prunescope.config.sections import Corrections, EarlyLayers, Evaluation
from prunescope.diagnosis.situation import Situation

SHORTEST_WINDOW = 128
DEPTH_WEIGHT = 0.5
COLLAPSE_BELOW = 0.2
CLIP = (5.0, 95.0)
LOWER = 0.75


@dataclass(frozen=True)
class Change:
    """A change of the configuration.

    Attributes:
        patch: returns the settings to merge over those in force; None where they are in force, out of reach or
            beside the point.
        of_whole_layers: whether it can help a criterion that removes whole layers; what acts on parts of a block
            cannot.
        of_equal_layers: whether it can help where all layers keep the same widths; what treats some layers otherwise
            cannot.
    """

    patch: Callable[[Situation], Patch | None]
    of_whole_layers: bool
    of_equal_layers: bool = True

    @property
    def kind(self) -> str:
        """Return the stable code of the remedy: the name of the function."""
        return self.patch.__name__

    def applies(self, now: Situation) -> bool:
        """Whether it acts on what is removed."""
        return (self.of_whole_layers or not now.whole_layers) and (self.of_equal_layers or not now.equal_layers)


of_blocks = partial(Change, of_whole_layers=False)
of_layers_too = partial(Change, of_whole_layers=True)
of_some_blocks = partial(Change, of_whole_layers=False, of_equal_layers=False)
of_some_layers = partial(Change, of_whole_layers=True, of_equal_layers=False)


@of_blocks
def block_correction(now: Situation) -> Patch | None:
    """T = 1, tau = 0: weigh scores by the prior of their block."""
    if now.setting("method", "temperature") != 0 or now.setting("method", "combine") == "share":
        return None
    return {"method": {"temperature": 1.0, "tau": 0.0}}


@of_blocks
def share(now: Situation) -> Patch | None:
    """Share out each block's removal loss among its groups: one scale for attention and MLP."""
    return {"method": {"combine": "share"}} if now.setting("method", "combine") == "multiply" else None


@of_some_blocks
def cap_rates(now: Situation) -> Patch | None:
    """Limit every block to the extreme rate."""
    highest = now.thresholds.extreme_rate
    return _tighter(now, ("limits", "max_rate"), highest, {"limits": {"max_rate": highest}})


@of_some_blocks
def cap_early(now: Situation) -> Patch | None:
    """Limit the first layers, as many as the diagnosis calls early, more strictly than the rest."""
    usual, general = EarlyLayers(), now.setting("limits", "max_rate")
    if general is not None and general <= usual.max_rate:
        return None
    limit: Patch = {"max_rate": usual.max_rate}
    if now.thresholds.early_layers != (now.setting("limits", "early_layers", "count") or usual.count):
        limit["count"] = now.thresholds.early_layers
    patch = {"limits": {"early_layers": limit}}
    return _tighter(now, ("limits", "early_layers", "max_rate"), usual.max_rate, patch)


@of_blocks
def cap_attention(now: Situation) -> Patch | None:
    """Limit attention alone, where it is pruned more than the MLPs."""
    return _cap_block(now, "attention", now.measures.attention_rate, now.measures.mlp_rate)


@of_blocks
def cap_mlp(now: Situation) -> Patch | None:
    """Limit the MLPs alone, where they are pruned more than attention."""
    return _cap_block(now, "mlp", now.measures.mlp_rate, now.measures.attention_rate)


def _cap_block(now: Situation, block: str, rate: float | None, other: float | None) -> Patch | None:
    highest, general = now.thresholds.extreme_rate, now.setting("limits", "max_rate")
    if rate is None or other is None or rate <= other or (general is not None and general <= highest):
        return None
    return _tighter(now, ("limits", block, "max_rate"), highest, {"limits": {block: {"max_rate": highest}}})


def _tighter(now: Situation, path: tuple[str, ...], highest: float, patch: Patch) -> Patch | None:
    current = now.setting(*path)
    unknown_but_in_force = current is None and now.binds(".".join(path[:2]))
    if unknown_but_in_force or (current is not None and current <= highest) or not now.reachable(patch):
        return None
    return patch


@of_layers_too
def shorter_windows(now: Situation) -> Patch | None:
    """Halve the calibration windows."""
    length = now.setting("calibration", "seq_len")
    if length is None or length < 2 * SHORTEST_WINDOW or not now.text_decides:
        return None
    return {"calibration": {"seq_len": length // 2}}


@of_layers_too
def more_samples(now: Situation) -> Patch | None:
    """Twice the calibration windows."""
    samples = now.setting("calibration", "samples")
    return None if samples is None or not now.text_decides else {"calibration": {"samples": 2 * samples}}


@of_blocks
def normalize_log(now: Situation) -> Patch | None:
    """Compress the saliency of each block by a logarithm around its mean."""
    return _correction(now, {"normalize": "log"})


@of_blocks
def block_mean(now: Situation) -> Patch | None:
    """Divide the saliency of each block by its mean."""
    return None if now.setting("corrections", "normalize") else _correction(now, {"mean": True})


@of_blocks
def clip(now: Situation) -> Patch | None:
    """Clip the saliency of each block to percentiles."""
    return _correction(now, {"clip": CLIP})


def _correction(now: Situation, change: Patch) -> Patch | None:
    """Return the change of `corrections`, where that correction is known to be off."""
    current, off = now.setting("corrections"), Corrections().model_dump()
    known_off = current is not None and all(current[name] == off[name] for name in change)
    return {"corrections": change} if known_off else None


@of_layers_too
def other_text(now: Situation) -> Patch | None:
    """Calibrate on another text that the configuration declares: one that is evaluated on and shares no source."""
    name, texts = now.context.name, now.evidence.texts
    if name is None or not now.text_decides:
        return None
    used = {name.dataset, *texts.calibration, *texts.with_leakage("source"), *texts.with_leakage("documents")}
    found = next((text for text in texts.evaluation or Evaluation().datasets if text not in used), None)
    return {"dataset": found} if found else None


@of_some_blocks
def depth_weight(now: Situation) -> Patch | None:
    """Weigh the scores of early layers more."""
    return _correction(now, {"depth_weight": DEPTH_WEIGHT})


@of_some_layers
def protect(now: Situation) -> Patch | None:
    """Protect the first layers that were pruned to extremes, beside those that are protected."""
    early = [extreme.layer for extreme in now.measures.extreme if extreme.layer < now.thresholds.early_layers]
    kept = now.setting("limits", "protect") or ()
    patch = {"limits": {"protect": [*kept, *(layer for layer in early if layer not in kept)]}}
    return patch if early and len(patch["limits"]["protect"]) > len(kept) and now.reachable(patch) else None


@of_some_blocks
def collapse(now: Situation) -> Patch | None:
    """Remove whole the blocks that keep next to nothing, where there are such blocks."""
    kept = 1 - now.evidence.layers[["attention_rate", "mlp_rate"]]
    if now.setting("limits", "collapse_below") is not None or not ((kept > 0) & (kept < COLLAPSE_BELOW)).any(axis=None):
        return None
    return {"limits": {"collapse_below": COLLAPSE_BELOW}}


@of_layers_too
def full_precision(now: Situation) -> Patch | None:
    """Compute the gradients in float32."""
    lower = now.setting("gradients", "dtype") in ("auto", "bfloat16")
    return {"gradients": {"dtype": "float32"}} if lower and now.gradients_decide else None


@of_layers_too
def lower_ratio(now: Situation) -> Patch | None:
    """Remove a quarter less."""
    ratio = now.setting("method", "ratio") or now.evidence.rates.target_ratio
    return {"method": {"ratio": round(LOWER * ratio, 3)}} if ratio else None
