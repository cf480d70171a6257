"""Plans measured on held-out windows: each once per model, dtype and windows, whatever experiment asks for it."""

import hashlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import SearchTextFolder, TrialTextFolder
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.trials import WindowLosses
from prunescope.errors import DataError
from prunescope.files import canonical
from prunescope.models.adapter import adapter_for
from prunescope.models.configuration import load_config
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.memory import in_smaller_batches
from prunescope.trial.interventions import Intervention, measure

log = logging.getLogger(__name__)

EVERY = slice(None)
"""All windows of a text."""

VERSION = 1
"""Raised when the numbers of a plan change, so that all are measured again."""


def plan_digest(plan: PruningPlan) -> str:
    """Return 16 hex digits that stand for what a plan removes of a model; "nothing" has a digest too."""
    return hashlib.sha256(canonical(PlanFile.of(plan).removed).encode()).hexdigest()[:16]


def nothing(facts: ModelFacts) -> PruningPlan:
    """Return the plan that removes nothing: the dense model."""
    return PruningPlan(facts.name, tuple(BlockPlan(block) for block in facts.blocks))


@dataclass(frozen=True)
class Meter:
    """Measures plans on the windows of a trial or a search, and keeps what it measured.

    What was measured lies beside the windows, a file per plan, written at once or not at all. No step declares these
    files, and no result depends on which of them are there: one that is missing or damaged is measured again. Two
    experiments that measure the same plan at the same time write the same file.

    Attributes:
        text: the windows. facts: the model. dtype: to compute in; ``auto`` as for gradients.
    """

    text: TrialTextFolder | SearchTextFolder
    facts: ModelFacts
    dtype: str = "auto"

    @cached_property
    def windows(self) -> dict[str, Tensor]:
        """The windows of each text, int32 ``[windows, tokens]``."""
        tensors = self.text.windows.read()
        return {name: tensors[name] for name in self.text.manifest.read().texts}

    @cached_property
    def model(self) -> nn.Module:
        """The model, loaded when the first plan needs it."""
        return load_model(self.facts.path, calibration_dtype(self.dtype))

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return load_config(self.facts.path).vocab_size

    @cached_property
    def conditions(self) -> list[Any]:
        """All but plan, windows and model that the numbers depend on; the model is in the key of the folder."""
        dtype = calibration_dtype(self.dtype)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return [VERSION, self.facts.revision, dtype, device, self.text.manifest.read().sha256]

    def measure(self, plans: Mapping[str, PruningPlan], span: slice = EVERY) -> dict[str, WindowLosses]:
        """Return what each plan loses, by its digest, and what the dense model loses, by that of nothing.

        Args:
            plans: by `plan_digest`. span: windows of each text; a text that has none of them is left out.
        """
        dense = nothing(self.facts)
        wanted = {plan_digest(dense): dense, **plans}
        known = {digest: losses for digest in wanted if (losses := self._known(digest, span)) is not None}
        if missing := {digest: plan for digest, plan in wanted.items() if digest not in known}:
            log.info("%d of %d plans to measure; the others are known", len(missing), len(wanted))
            found = self._measure(missing, span)
            for digest, losses in found.items():
                self._entry(digest, span).write(losses)
            known |= found
        return {digest: known[digest] for digest in wanted}

    def tags(self) -> dict[str, str]:
        """Return device and dtype as tags; none where nothing had to be measured."""
        return compute_tags(self.model) if "model" in vars(self) else {}

    def _within(self, span: slice) -> dict[str, Tensor]:
        return {name: windows[span] for name, windows in self.windows.items() if len(windows[span])}

    def _measure(self, plans: Mapping[str, PruningPlan], span: slice) -> dict[str, WindowLosses]:
        interventions = [Intervention.of_plan(digest, plan) for digest, plan in plans.items()]
        texts = self._within(span)
        windows = torch.cat([*texts.values()])
        work = partial(measure, adapter_for(self.model), windows, interventions)
        found = in_smaller_batches(work, forward_batch(windows, self.model))
        loss, divergence = found.loss[1:], found.divergence[1:]
        return {
            digest: WindowLosses(loss=_by_text(loss[row], texts), divergence=_by_text(divergence[row], texts))
            for row, digest in enumerate(plans)
        }

    def _entry(self, digest: str, span: slice) -> Entry[WindowLosses]:
        told = self.conditions + ([span.start, span.stop] if span != EVERY else [])
        conditions = hashlib.sha256(canonical(told).encode()).hexdigest()[:8]
        return self.text.named(type(self.text).measured, conditions=conditions, plan=digest)

    def _known(self, digest: str, span: slice) -> WindowLosses | None:
        entry = self._entry(digest, span)
        if not entry.exists():
            return None
        try:
            losses = entry.read()
        except DataError as error:
            log.warning("%s: it is measured again", error)
            return None
        counts = {name: len(windows) for name, windows in self._within(span).items()}
        kept = [{name: len(values) for name, values in kind.items()} for kind in (losses.loss, losses.divergence)]
        return losses if kept == [counts, counts] else None


def _by_text(values: Tensor, texts: Mapping[str, Tensor]) -> dict[str, list[float | None]]:
    parts = values.split([len(windows) for windows in texts.values()])
    return {name: part.tolist() for name, part in zip(texts, parts, strict=True)}


def finite(losses: WindowLosses) -> bool:
    """Whether all losses and divergences are numbers."""
    kinds = (losses.loss, losses.divergence)
    return all(
        value is not None and math.isfinite(value) for kind in kinds for values in kind.values() for value in values
    )
