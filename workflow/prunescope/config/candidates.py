"""Changes of an experiment that are measured beside it: `trial.candidates`."""

from prunescope.config.messages import said_of, validated
from prunescope.config.patches import Patch, leaves, merge
from prunescope.config.sections import Settings
from prunescope.config.sweep_words import patch_of
from prunescope.errors import ConfigError

DECIDES = ("method", "corrections", "limits")
"""The sections that decide what is removed, once everything is scored."""


def needs_no_pass(path: str) -> bool:
    """Whether a setting decides what is removed without another pass over the model, at the same ratio."""
    return path.partition(".")[0] in DECIDES and path not in ("method.ratio", "method.prior")


def configured(settings: Settings) -> tuple[Patch, ...]:
    """Return the changes that `trial.candidates` declares, as patches.

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
        validated(Settings, merge(settings.model_dump(), patch), f"trial.candidates.{number}")
        patches.append(patch)
    return tuple(patches)
