"""What to try against a finding: a change of the configuration, the experiment that has it, the command.

Only what is not in force yet, can be reached, and can be configured today is suggested.
"""

from prunescope.artifacts.diagnosis import Remedy
from prunescope.artifacts.folders import RESULTS
from prunescope.config.names import rename, without
from prunescope.config.patches import Patch
from prunescope.diagnosis.rules import RULES
from prunescope.diagnosis.situation import Context, Situation


def suggest(code: str, now: Situation) -> tuple[Remedy, ...]:
    """Return the remedies against the finding `code`, the first choice first and not yet in words."""
    found = ((change.kind, change.patch(now)) for change in RULES[code].remedies if change.applies(now))
    return tuple(_remedy(kind, patch, now.context) for kind, patch in found if patch is not None)


def exhausted(code: str, now: Situation) -> bool:
    """Whether there are remedies against `code`, and all of them are in force or out of reach."""
    return any(change.applies(now) for change in RULES[code].remedies) and not suggest(code, now)


def _remedy(kind: str, patch: Patch, context: Context) -> Remedy:
    # Training costs more than all the rest, and hides what a setting does.
    name = rename(without(context.name, "recovery.enabled"), patch) if context.name else None
    command = f"{context.start} {RESULTS}/{context.model}/{name}" if name else None
    return Remedy(kind=kind, patch=patch, experiment=str(name) if name else None, command=command, what="")
