"""Plans measured on held-out windows: each once per model, dtype and windows, whatever experiment asks for it."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.files import Entry
from prunescope.artifacts.folders import GramFolder, SearchTextFolder, TrialTextFolder
from prunescope.artifacts.parts import Part
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.trials import WindowLosses
from prunescope.errors import DataError
from prunescope.files import canonical
from prunescope.models.adapter import adapter_for
from prunescope.models.configuration import load_config
from prunescope.models.loading import (
    calibration_dtype,
    compute_dtype,
    compute_tags,
    default_device,
    forward_batch,
    load_model,
)
from prunescope.models.memory import in_smaller_batches
from prunescope.pruning.gram import read_gram
from prunescope.shards import WHOLE, Shard
from prunescope.steps.importance import RankedSpec
from prunescope.steps.job import Job
from prunescope.trial.interventions import Intervention, Losses, measure
from prunescope.trial.stand_ins import StandIns

log = logging.getLogger(__name__)

EVERY = slice(None)
"""All windows of a text."""

VERSION = 1
"""Raised when the numbers of a plan change, so that all are measured again."""


Gathered = Callable[[Callable[[Shard], Part]], Part]
"""Makes the whole of what measures a shard of the windows."""


def at_once(work: Callable[[Shard], Part]) -> Part:
    """Measure all windows in this job."""
    return work(WHOLE)


def plan_digest(plan: PruningPlan) -> str:
    """Return 16 hex digits that stand for what a plan removes of a model; "nothing" has a digest too."""
    return hashlib.sha256(canonical(PlanFile.of(plan).removed).encode()).hexdigest()[:16]


def nothing(facts: ModelFacts) -> PruningPlan:
    """Return the plan that removes nothing: the dense model."""
    return PruningPlan(facts.name, tuple(BlockPlan(block) for block in facts.blocks))


@dataclass(frozen=True)
class BlockRefit:
    """How plans are refitted before they are measured: each block to what it loses itself, on the dense stream."""

    gram: GramFolder
    ridge: float

    @classmethod
    def of(cls, job: Job[Any, Any]) -> "BlockRefit | None":
        """Return how the plans of a job are refitted; None: they are plain cuts."""
        spec: RankedSpec = job.spec
        return None if spec.ridge is None else cls(job.input(GramFolder), spec.ridge)

    @property
    def conditions(self) -> list[Any]:
        """What the numbers of a plan depend on."""
        return [self.gram.path.name, self.ridge]

    def stand_ins(self) -> StandIns:
        """Return what plays silent groups."""
        return StandIns(partial(read_gram, self.gram.layers.path), self.ridge)


@dataclass(frozen=True)
class Meter:
    """Measures plans on the windows of a trial or a search, and keeps what it measured.

    What was measured lies beside the windows, a file per plan, written at once or not at all. No step declares these
    files, and no result depends on which of them are there: one that is missing or damaged is measured again. Two
    experiments that measure the same plan at the same time write the same file.

    Attributes:
        text: the windows. facts: the model. dtype: to compute in; ``auto`` as for gradients.
        refit: how plans are refitted; None: plain cuts are measured.
        tags: of the record, when something was asked for: device and dtype of the numbers, also of those that were
            known, and how many jobs measured the others.
    """

    text: TrialTextFolder | SearchTextFolder
    facts: ModelFacts
    dtype: str = "auto"
    refit: BlockRefit | None = None
    tags: dict[str, str] = field(default_factory=dict, compare=False)

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
        return [VERSION, self.facts.revision, dtype, device, self.text.manifest.read().sha256, *self.refitted]

    @property
    def computed(self) -> dict[str, str]:
        """Device and dtype of the numbers, as tags."""
        device = default_device()
        dtype = compute_dtype(calibration_dtype(self.dtype), device)
        return {"device": device.type, "dtype": str(dtype).removeprefix("torch.")}

    @property
    def refitted(self) -> list[Any]:
        """What the numbers depend on where plans are refitted; nothing for plain cuts."""
        return self.refit.conditions if self.refit else []

    def measure(
        self, plans: Mapping[str, PruningPlan], span: slice = EVERY, gathered: Gathered = at_once
    ) -> dict[str, WindowLosses]:
        """Return what each plan loses, by its digest, and what the dense model loses, by that of nothing.

        Args:
            plans: by `plan_digest`. span: windows of each text; a text that has none of them is left out.
            gathered: adds up what several jobs have measured.

        Raises:
            DataError: they measured under other conditions.
        """
        self.tags.update(self.computed)
        wanted = self._with_dense(plans)
        known = self._known_of(wanted, span)
        if missing := {digest: plan for digest, plan in wanted.items() if digest not in known}:
            log.info("%d of %d plans to measure; the others are known", len(missing), len(wanted))
            part = gathered(partial(self._measure, missing, span))
            self.tags.update(part.tags)
            for digest in missing:
                known[digest] = self._losses(part.sums, digest, span)
                self._entry(digest, span).write(known[digest])
        return {digest: known[digest] for digest in wanted}

    def part(self, plans: Mapping[str, PruningPlan], shard: Shard) -> Part:
        """Return what plans, and the dense model, lose on a shard of the windows of each text."""
        if not any(len(windows[shard.rows(len(windows))]) for windows in self.windows.values()):
            return Part()
        wanted = self._with_dense(plans)
        known = self._known_of(wanted, EVERY)
        missing = {digest: plan for digest, plan in wanted.items() if digest not in known}
        found = self._measure(missing, EVERY, shard) if missing else Part()
        looked_up = {
            self._name(kind, digest, text): _only(torch.from_numpy(np.array(values, dtype=float)), shard)
            for digest, losses in known.items()
            for kind, by_text in losses
            for text, values in by_text.items()
        }
        return Part({**found.sums, **looked_up}, found.tags)

    def _with_dense(self, plans: Mapping[str, PruningPlan]) -> dict[str, PruningPlan]:
        dense = nothing(self.facts)
        return {plan_digest(dense): dense, **plans}

    def _known_of(self, plans: Iterable[str], span: slice) -> dict[str, WindowLosses]:
        return {digest: losses for digest in plans if (losses := self._known(digest, span)) is not None}

    def _within(self, span: slice) -> dict[str, Tensor]:
        return {name: windows[span] for name, windows in self.windows.items() if len(windows[span])}

    def _measure(self, plans: Mapping[str, PruningPlan], span: slice, shard: Shard) -> Part:
        """Return the losses of plans on a shard of the windows of a span, float64 ``[windows]`` of each text."""
        texts = self._within(span)
        parts = {name: windows[shard.rows(len(windows))] for name, windows in texts.items()}
        windows = torch.cat([*parts.values()])
        if not len(windows):
            return Part()
        found, sums = self.found(plans, windows), {}
        for kind in WindowLosses.model_fields:
            for digest, row in zip(plans, getattr(found, kind), strict=True):
                for name, values in zip(parts, row.split([*map(len, parts.values())]), strict=True):
                    sums[self._name(kind, digest, name)] = whole = row.new_zeros(len(texts[name]))
                    whole[shard.rows(len(whole))] = values
        return Part(sums, compute_tags(self.model))

    def found(self, plans: Mapping[str, PruningPlan], windows: Tensor) -> Losses:
        """Return what each plan loses on windows, int ``[n, tokens]``; a row per plan."""
        interventions = [Intervention.of_plan(digest, plan) for digest, plan in plans.items()]
        stand_ins = self.refit.stand_ins() if self.refit else None
        work = partial(measure, adapter_for(self.model), windows, interventions, stand_ins=stand_ins)
        losses = in_smaller_batches(work, forward_batch(windows, self.model))
        assert losses.divergence is not None
        return Losses(losses.loss[1:], losses.divergence[1:])

    def _name(self, kind: str, digest: str, text: str) -> str:
        """Return what the losses by a plan are called in a part."""
        return f"{self._conditions(EVERY)}/{kind}/{digest}/{text}"

    def _losses(self, sums: Mapping[str, Tensor], digest: str, span: slice) -> WindowLosses:
        """Return what the parts say about a plan."""
        kinds, texts = WindowLosses.model_fields, self._within(span)
        try:
            told = {kind: {name: sums[self._name(kind, digest, name)].tolist() for name in texts} for kind in kinds}
        except KeyError:
            raise DataError(
                "the parts of the trial were measured on a device or in a dtype that this machine would not take: run "
                "all jobs of the step on machines of one kind"
            ) from None
        return WindowLosses(**told)

    def _entry(self, digest: str, span: slice) -> Entry[WindowLosses]:
        return self.text.named(type(self.text).measured, conditions=self._conditions(span), plan=digest)

    def _conditions(self, span: slice) -> str:
        told = self.conditions + ([span.start, span.stop] if span != EVERY else [])
        return hashlib.sha256(canonical(told).encode()).hexdigest()[:8]

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


def _only(values: Tensor, shard: Shard) -> Tensor:
    """Return the values of a shard, and 0 in place of the others."""
    kept, rows = torch.zeros_like(values), shard.rows(len(values))
    kept[rows] = values[rows]
    return kept


def finite(losses: WindowLosses) -> bool:
    """Whether all losses and divergences are numbers."""
    kinds = (losses.loss, losses.divergence)
    return all(
        value is not None and math.isfinite(value) for kind in kinds for values in kind.values() for value in values
    )
