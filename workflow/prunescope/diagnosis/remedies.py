"""What to try against a finding: a change of the configuration, the experiment that has it, the command.

Only what is not in force yet, can be reached, and can be configured today is suggested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunescope.config.keys import RESULTS
from prunescope.config.sections import Diagnosis, EarlyLayers, Settings
from prunescope.diagnosis.inputs import Evidence
from prunescope.diagnosis.measures import Measures
from prunescope.diagnosis.naming import Name, Patch, declared, known_name, rename

SHORTEST_WINDOW = 128
# Selection rounds widths, so a budget that only just fits the limits can still fail.
HEADROOM = 0.95


@dataclass(frozen=True)
class Remedy:
    """A way to change an experiment.

    Attributes:
        kind: stable code of the remedy. patch: settings to merge over those of the experiment.
        experiment: name that declares the patched experiment, or None when the grammar cannot say it.
        command: the command that runs it, or None without a name.
    """

    kind: str
    patch: Patch
    experiment: str | None = None
    command: str | None = None


@dataclass(frozen=True)
class Context:
    """Whose diagnosis it is.

    Attributes:
        model, experiment: the names in the path.
        settings: the resolved settings; None: only what the experiment's name declares is known.
    """

    model: str
    experiment: str
    settings: Settings | None = None

    @cached_property
    def name(self) -> Name | None:
        return known_name(self.experiment)

    @cached_property
    def known(self) -> Patch:
        if self.settings is not None:
            return self.settings.model_dump()
        return (declared(self.name) or {}) if self.name else {}

    def setting(self, *path: str) -> Any:
        """Return the setting at `path`, or None when it is off or unknown."""
        value: Any = self.known
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value


@dataclass(frozen=True)
class Situation:
    """All that decides whether a change makes sense."""

    context: Context
    evidence: Evidence
    measures: Measures
    thresholds: Diagnosis

    def binds(self, limit: str) -> bool:
        return any(bound.limit.startswith(limit) for bound in self.evidence.rates.bound)

    def reachable(self, max_rate: float, early: float, count: int) -> bool:
        """Whether what is removed now would still fit under these limits."""
        early_share = min(count / max(len(self.evidence.layers), 1), 1.0)
        capacity = max_rate * (1 - early_share) + min(early, max_rate) * early_share
        return (self.measures.rate or 0.0) < HEADROOM * capacity


Change = Callable[[Situation], Patch | None]


def block_correction(now: Situation) -> Patch | None:
    """T = 1, tau = 0: weigh scores by the measured removal loss of their block."""
    if now.context.setting("method", "temperature") != 0:
        return None
    return {"method": {"temperature": 1.0, "tau": 0.0}}


def cap_rates(now: Situation) -> Patch | None:
    """Limit every block to the extreme rate."""
    cap, current = now.thresholds.extreme_rate, now.context.setting("limits", "max_rate")
    unknown_but_in_force = current is None and now.binds("limits.max_rate")
    if unknown_but_in_force or (current is not None and current <= cap) or not now.reachable(cap, 1.0, 0):
        return None
    return {"limits": {"max_rate": cap}}


def cap_early(now: Situation) -> Patch | None:
    """Limit the first layers more strictly than the rest."""
    default, rest = EarlyLayers(), now.context.setting("limits", "max_rate") or 1.0
    current = now.context.setting("limits", "early_layers", "max_rate")
    unknown_but_in_force = current is None and now.binds("limits.early_layers")
    strictest = min(rest, rest if current is None else current)
    if unknown_but_in_force or strictest <= default.max_rate:
        return None
    if not now.reachable(rest, default.max_rate, default.count):
        return None
    return {"limits": {"early_layers": {"max_rate": default.max_rate}}}


def shorter_windows(now: Situation) -> Patch | None:
    """Halve the calibration windows."""
    length = now.context.setting("calibration", "seq_len")
    if length is None or length < 2 * SHORTEST_WINDOW:
        return None
    return {"calibration": {"seq_len": length // 2}}


def more_samples(now: Situation) -> Patch | None:
    """Twice the calibration windows."""
    samples = now.context.setting("calibration", "samples")
    return None if samples is None else {"calibration": {"samples": 2 * samples}}


def full_precision(now: Situation) -> Patch | None:
    """Compute the gradients in float32."""
    if now.context.setting("gradients", "dtype") == "float32":
        return None
    return {"gradients": {"dtype": "float32"}}


CHANGES: dict[str, tuple[Change, ...]] = {
    "non_finite_gradient": (full_precision,),
    "vanishing_gradient": (full_precision, more_samples),
    "early_layers_extreme": (cap_early, block_correction, cap_rates),
    "many_extreme_layers": (cap_rates, block_correction),
    "gradient_scale_gap": (block_correction, shorter_windows, cap_rates),
    "rate_spread": (cap_rates, block_correction),
    "importance_rate_inverted": (more_samples,),
    "gradient_valley": (block_correction, shorter_windows),
    "gradient_spike": (more_samples,),
}


def suggest(code: str, now: Situation) -> tuple[Remedy, ...]:
    """Return the remedies against the finding `code`, the first choice first; empty when none is left."""
    found = ((change.__name__, change(now)) for change in CHANGES.get(code, ()))
    return tuple(_remedy(kind, patch, now.context) for kind, patch in found if patch is not None)


def _remedy(kind: str, patch: Patch, context: Context) -> Remedy:
    name = rename(context.name, patch) if context.name else None
    if name is None:
        return Remedy(kind, patch)
    return Remedy(kind, patch, str(name), f"snakemake --cores all {RESULTS}/{context.model}/{name}")
