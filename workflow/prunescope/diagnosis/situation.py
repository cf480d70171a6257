"""All that decides what is found and what makes sense against it: what is in force, what was measured on it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunescope.artifacts.folders import RESULTS
from prunescope.artifacts.trials import Trials
from prunescope.config.names import Name, declared, known_name, rename, without
from prunescope.config.patches import Patch, at, merge
from prunescope.config.sections import Diagnosis, Limits, Settings
from prunescope.criteria import OF_WHOLE_LAYERS, WITHOUT_GRADIENT, WITHOUT_TEXT
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures
from prunescope.errors import ConfigError
from prunescope.importance.limits import lanes_of, most_parameters
from prunescope.steps.spec import START


@dataclass(frozen=True)
class Context:
    """The experiment that is diagnosed.

    Attributes:
        model, experiment: the names in the path.
        settings: the resolved settings; None: what the experiment's name declares, and else the defaults.
        start: how a run is started, up to the target.
        plain: where a search found the settings, the name that says them; None: no name does.
    """

    model: str
    experiment: str
    settings: Settings | None = None
    start: str = START
    plain: str | None = None

    @cached_property
    def name(self) -> Name | None:
        """The parts of the experiment's name, or None when the grammar does not know it."""
        return known_name(self.experiment)

    def named(self, patch: Patch) -> Name | None:
        """Return the name of the experiment with `patch`; None where no name can say it."""
        # A change of `auto` would be another search.
        name = known_name(self.plain or "") if self.name and self.name.searched else self.name
        # Training costs more than all the rest, and hides what a setting does.
        return rename(without(name, "recovery.enabled"), patch) if name else None

    def command(self, name: Name | str | None) -> str | None:
        """Return what runs an experiment of the model; None without a name."""
        return f"{self.start} {RESULTS}/{self.model}/{name}" if name else None

    @cached_property
    def known(self) -> Patch:
        """The settings; of a named experiment or a search nothing is known without them."""
        if self.settings is not None:
            return self.settings.model_dump()
        if self.name is None or self.name.searched:
            return {}
        return merge(Settings().model_dump(), declared(self.name) or {})


@dataclass(frozen=True)
class Situation:
    """An experiment and what was measured on it; `trials`: with other settings too."""

    context: Context
    evidence: Evidence
    measures: Measures
    thresholds: Diagnosis
    trials: Trials | None = None

    @cached_property
    def in_force(self) -> Patch:
        """The settings known to be in force; the summary of the rates knows the limits best."""
        limits = self.evidence.rates.limits
        stated = {"limits": limits.model_dump(exclude_none=True)} if limits else {}
        return merge(self.context.known, stated)

    def setting(self, *path: str) -> Any:
        """Return the setting at `path`, or None when it is off or unknown."""
        return at(self.in_force, ".".join(path))

    def binds(self, limit: str) -> bool:
        """Whether a limit is known to be in force because it bound."""
        return any(bound.limit.startswith(limit) for bound in self.evidence.rates.bound)

    @property
    def gradients_decide(self) -> bool:
        """Whether the criterion reads gradients; an unknown one is taken to."""
        return self.setting("method", "criterion") not in WITHOUT_GRADIENT

    @property
    def text_decides(self) -> bool:
        """Whether the criterion or the prior reads the calibration text; unknown ones are taken to."""
        if self.setting("method", "criterion") not in WITHOUT_TEXT:
            return True
        return self.setting("method", "combine") == "share" or self.setting("method", "temperature") > 0

    @property
    def whole_layers(self) -> bool:
        """Whether the criterion removes whole layers."""
        return self.setting("method", "criterion") in OF_WHOLE_LAYERS

    @property
    def equal_layers(self) -> bool:
        """Whether all layers keep the same widths."""
        return self.setting("limits", "widths") == "uniform"

    def reachable(self, patch: Patch) -> bool:
        """Whether what is removed now would still fit under the limits in force together with `patch`."""
        limits = Limits.model_validate(merge(self.in_force, patch)["limits"])
        blocks = self.evidence.blocks
        removed = (self.measures.rate or 0.0) * sum(block.parameters for block in blocks)
        try:
            return removed <= most_parameters(lanes_of(blocks, limits, "group"))
        except ConfigError:  # against a limit in force
            return False
