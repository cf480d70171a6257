"""The settings that decide what is removed, and changes of them to measure beside an experiment."""

from typing import Protocol

from prunescope.config.messages import said_of, validated
from prunescope.config.patches import Patch, at, leaves, merge
from prunescope.config.sections import Corrections, Limits, Method, Section, Settings
from prunescope.config.sections.importance import UNEVEN
from prunescope.config.sweep_words import patch_of
from prunescope.criteria import AUTO, OF_WHOLE_LAYERS
from prunescope.errors import ConfigError


class Decided(Protocol):
    """What holds these settings, among others."""

    @property
    def method(self) -> Method: ...
    @property
    def corrections(self) -> Corrections: ...
    @property
    def limits(self) -> Limits: ...


class Deciding(Section):
    """The settings that decide what is removed, once everything is scored."""

    method: Method
    corrections: Corrections
    limits: Limits

    @classmethod
    def within(cls, settings: "Decided") -> "Deciding":
        """Return those of an experiment, a spec or a search."""
        return cls(method=settings.method, corrections=settings.corrections, limits=settings.limits)


DECIDES = tuple(Deciding.model_fields)
"""The names of these sections."""


def needs_no_pass(path: str) -> bool:
    """Whether a setting decides what is removed without another pass over the model, at the same ratio."""
    return path.partition(".")[0] in DECIDES and path not in ("method.ratio", "method.prior")


def configured(settings: Settings) -> tuple[Patch, ...]:
    """Return the changes that `trial.candidates` declares, as patches, but for those that its equal layers rule out.

    Raises:
        ConfigError: an unknown word, a value out of range, or a change that needs another pass or
            removes another ratio.
    """
    patches = []
    for number, change in enumerate(settings.trial.candidates):
        with said_of(f"trial.candidates.{number}"):
            patch = patch_of(change)
            for path, _ in leaves(patch):
                if not needs_no_pass(path):
                    raise ConfigError(
                        f"{path} cannot be tried: candidates change only what needs no other pass over the model, "
                        "settings of method (but for ratio and prior), corrections and limits"
                    )
            if at(patch, "method.criterion") == AUTO:
                raise ConfigError(f"method.criterion = {AUTO} cannot be tried: it stands for settings yet to be found")
        left_out = _needs_unequal_layers(settings, patch)
        free = {"limits": {"widths": "free"}} if left_out else {}
        validated(Settings, merge(settings.model_dump(), free, patch), f"trial.candidates.{number}")
        if not left_out:
            patches.append(patch)
    return tuple(patches)


def _needs_unequal_layers(settings: Settings, patch: Patch) -> bool:
    """Whether a change treats some layers otherwise, where an experiment keeps the same widths in all."""
    if settings.limits.widths == "free" or at(patch, "limits.widths"):
        return False
    return at(patch, "method.criterion") in OF_WHOLE_LAYERS or any(at(patch, f"limits.{name}") for name in UNEVEN)
