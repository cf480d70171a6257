"""What to try against a finding: a change of the configuration, the experiment that has it, the command.

Only what is not in force yet, can be reached, and can be configured today is suggested.
"""

from dataclasses import dataclass

from prunescope.config.renaming import Patch, rename, without
from prunescope.criteria import OF_WHOLE_LAYERS
from prunescope.diagnosis import changes
from prunescope.diagnosis.changes import Change
from prunescope.diagnosis.situation import Context, Situation
from prunescope.steps.keys import RESULTS

__all__ = ["CHANGES", "Context", "Remedy", "Situation", "suggest"]


@dataclass(frozen=True)
class Remedy:
    """A way to change an experiment.

    Attributes:
        kind: stable code of the remedy. patch: settings to merge over those of the experiment.
        experiment: name that declares the patched experiment, or None when the grammar cannot say it.
        command: the command that runs it, or None without a name.
        what: the change in the words of a language.
    """

    kind: str
    patch: Patch
    experiment: str | None = None
    command: str | None = None
    what: str = ""


# Per finding, the most promising first.
CHANGES: dict[str, tuple[Change, ...]] = {
    "non_finite_gradient": (changes.full_precision,),
    "vanishing_gradient": (changes.full_precision, changes.more_samples, changes.other_text),
    "early_layers_extreme": (
        changes.cap_early,
        changes.block_correction,
        changes.cap_rates,
        changes.share,
        changes.depth_weight,
        changes.protect,
        changes.lower_ratio,
    ),
    "many_extreme_layers": (
        changes.cap_rates,
        changes.block_correction,
        changes.share,
        changes.collapse,
        changes.lower_ratio,
    ),
    "gradient_scale_gap": (
        changes.block_correction,
        changes.shorter_windows,
        changes.normalize_log,
        changes.cap_rates,
        changes.other_text,
        changes.share,
    ),
    "score_scale_gap": (changes.share, changes.block_mean, changes.normalize_log, changes.cap_rates),
    "block_imbalance": (changes.share, changes.cap_attention, changes.cap_mlp, changes.block_mean),
    "rate_spread": (changes.cap_rates, changes.block_correction, changes.share, changes.lower_ratio),
    "importance_rate_inverted": (changes.more_samples, changes.clip, changes.other_text),
    "few_samples": (changes.more_samples,),
    "gradient_valley": (changes.block_correction, changes.shorter_windows, changes.normalize_log),
    "gradient_spike": (changes.more_samples, changes.clip, changes.other_text),
    "limit_saturation": (changes.lower_ratio,),
    "shared_documents": (changes.other_text,),
}
# A criterion that removes whole layers leaves nothing to what acts on parts of a block.
FOR_WHOLE_LAYERS = {"full_precision", "more_samples", "shorter_windows", "other_text", "protect", "lower_ratio"}


def suggest(code: str, now: Situation) -> tuple[Remedy, ...]:
    """Return the remedies against the finding `code`, the first choice first; empty when none is left."""
    found = ((change.__name__, change(now)) for change in CHANGES.get(code, ()) if _applies(change, now))
    return tuple(_remedy(kind, patch, now.context) for kind, patch in found if patch is not None)


def exhausted(code: str, now: Situation) -> bool:
    """Whether there are remedies against `code`, and all of them are in force or out of reach."""
    return any(_applies(change, now) for change in CHANGES.get(code, ())) and not suggest(code, now)


def _applies(change: Change, now: Situation) -> bool:
    return now.setting("method", "criterion") not in OF_WHOLE_LAYERS or change.__name__ in FOR_WHOLE_LAYERS


def _remedy(kind: str, patch: Patch, context: Context) -> Remedy:
    # Training costs more than all the rest, and hides what a setting does.
    name = rename(without(context.name, "recovery.enabled"), patch) if context.name else None
    if name is None:
        return Remedy(kind, patch)
    return Remedy(kind, patch, str(name), f"{context.start} {RESULTS}/{context.model}/{name}")
