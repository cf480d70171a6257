"""All that decides whether a change makes sense: whose diagnosis it is, what is in force, what can be reached."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from prunescope.config.renaming import Name, Patch, declared, known_name
from prunescope.config.resolve import merge
from prunescope.config.sections import Diagnosis, Limits, Settings
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Measures

# Selection rounds widths, so a budget that only just fits the limits can still fail.
HEADROOM = 0.95


@dataclass(frozen=True)
class Context:
    """Whose diagnosis it is.

    Attributes:
        model, experiment: the names in the path.
        settings: the resolved settings; None: what the experiment's name declares, and else the defaults.
    """

    model: str
    experiment: str
    settings: Settings | None = None

    @cached_property
    def name(self) -> Name | None:
        return known_name(self.experiment)

    @cached_property
    def known(self) -> Patch:
        """The settings; of a named experiment nothing is known without them."""
        if self.settings is not None:
            return self.settings.model_dump()
        return merge(Settings().model_dump(), declared(self.name)) if self.name else {}


@dataclass(frozen=True)
class Situation:
    """An experiment and what was measured on it."""

    context: Context
    evidence: Evidence
    measures: Measures
    thresholds: Diagnosis

    @cached_property
    def in_force(self) -> Patch:
        """What is known to be in force; the summary of the rates knows the limits best."""
        limits = self.evidence.rates.limits
        stated = {"limits": limits.model_dump(exclude_none=True)} if limits else {}
        return merge(self.context.known, stated)

    def setting(self, *path: str) -> Any:
        """Return the setting at `path`, or None when it is off or unknown."""
        value: Any = self.in_force
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def binds(self, limit: str) -> bool:
        """Whether a limit is known to be in force because it bound."""
        return any(bound.limit.startswith(limit) for bound in self.evidence.rates.bound)

    def reachable(self, patch: Patch) -> bool:
        """Whether what is removed now would still fit under the limits in force together with `patch`."""
        limits = Limits.model_validate(merge(self.in_force, patch)["limits"])
        return (self.measures.rate or 0.0) < HEADROOM * capacity(self.evidence.layers, limits)


def capacity(layers: pd.DataFrame, limits: Limits) -> float:
    """Return the largest fraction of the prunable parameters that `limits` leave to selection.

    Args:
        layers: `Evidence.layers`; where sizes are unknown attention and MLP of every layer weigh the same.
    """
    kinds = ("attention", "mlp")
    sizes = layers[[f"{kind}_params" for kind in kinds]].to_numpy(dtype=float)
    sizes = sizes if np.isfinite(sizes).all() else np.ones_like(sizes)
    caps = np.array([[cap(limits, layer, kind, len(layers)) for kind in kinds] for layer in layers.index])
    return float((sizes * caps).sum() / sizes.sum())


def cap(limits: Limits, layer: int, kind: str, count: int) -> float:
    """Return the largest rate that `limits` allow the attention or MLP (`kind`) of one of `count` layers."""
    caps = [limits.max_rate, getattr(limits, kind).max_rate]
    if limits.early_layers and layer < limits.early_layers.count:
        caps.append(limits.early_layers.max_rate)
    if layer in {index % count for index in limits.protect}:
        caps.append(0.0)
    return min((rate for rate in caps if rate is not None), default=1.0)
