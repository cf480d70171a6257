"""Plans measured as the refit step leaves them: for the few that a ranking by stand-ins puts first."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunescope.artifacts.plan import PruningPlan
from prunescope.files import canonical
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.loss import losses_and_divergences
from prunescope.models.memory import in_smaller_batches
from prunescope.models.sweep import final_states
from prunescope.pruning.as_cut import as_cut
from prunescope.pruning.fitted import FittedLayers, Weights, load_fitted
from prunescope.pruning.refit import refit
from prunescope.steps.repair import RefitSpec
from prunescope.trial.interventions import Losses
from prunescope.trial.measured import Meter


@dataclass(frozen=True)
class RealRefit:
    """How the refit step fits.

    Attributes:
        text: the key of what keeps the windows. windows: int32 ``[n, tokens]``. ridges, dtype: as configured.
        scratch: a folder for the weights of a plan until it is measured.
    """

    text: str
    windows: Tensor
    ridges: tuple[float, ...]
    dtype: str
    scratch: Path

    @property
    def conditions(self) -> list[Any]:
        """What the numbers of a plan depend on."""
        return ["refit", RefitSpec.version, self.text, self.ridges, calibration_dtype(self.dtype)]

    def weights(self, model: nn.Module, checkpoint: str, plan: PruningPlan, digest: str) -> Weights:
        """Fit what a plan leaves of a model; a refit that was killed goes on after the layers that it has done."""
        told = canonical([self.conditions, compute_tags(model), digest])
        self.scratch.mkdir(parents=True, exist_ok=True)
        done = FittedLayers(self.scratch / digest, hashlib.sha256(told.encode()).hexdigest())
        read = open_checkpoint(checkpoint).read
        work = partial(refit, adapter_for(model), self.windows, plan, read, self.ridges, done)
        in_smaller_batches(work, forward_batch(self.windows, model))
        return load_fitted(done.folder, "search")


@dataclass(frozen=True)
class RefittedMeter(Meter):
    """Measures plans whose output projections were fitted for real, one after the other.

    Attributes:
        ranking: what measured many plans before; its model is used. real: how plans are refitted.
    """

    ranking: Meter = field(kw_only=True)
    real: RealRefit = field(kw_only=True)

    @classmethod
    def after(cls, ranking: Meter, real: RealRefit) -> "RefittedMeter":
        """Return what measures on the windows of another, and notes its tags there."""
        return cls(ranking.text, ranking.facts, ranking.dtype, tags=ranking.tags, ranking=ranking, real=real)

    @cached_property
    def model(self) -> nn.Module:
        """The unpruned model."""
        return self.ranking.model

    @cached_property
    def fitted(self) -> nn.Module:
        """The unpruned model in the dtype of the refit."""
        dtype = calibration_dtype(self.real.dtype)
        return self.model if dtype == calibration_dtype(self.dtype) else load_model(self.facts.path, dtype)

    @property
    def refitted(self) -> list[Any]:
        """See `Meter.refitted`."""
        return self.real.conditions

    def found(self, plans: Mapping[str, PruningPlan], windows: Tensor) -> Losses:
        """Return what each plan loses; see `Meter.found`."""
        return in_smaller_batches(partial(self._found, plans, windows), forward_batch(windows, self.model))

    def _found(self, plans: Mapping[str, PruningPlan], windows: Tensor, batch_size: int) -> Losses:
        dense = torch.stack([hidden.cpu() for _, hidden in self._states(windows, batch_size)])
        rows = [self._row(plan, digest, windows, dense, batch_size) for digest, plan in plans.items()]
        loss, divergence = torch.stack(rows).unbind(dim=1)
        return Losses(loss, divergence)

    def _row(self, plan: PruningPlan, digest: str, windows: Tensor, dense: Tensor, batch_size: int) -> Tensor:
        """Return what a plan loses on each window, float64 ``[2, windows]``: loss and divergence.

        Args:
            dense: what the head reads of the dense model, ``[windows, tokens, d]``.
        """
        weights: Weights = {}
        if any(len(block.removed) and not block.whole for block in plan.blocks):
            weights = self.real.weights(self.fitted, self.facts.path, plan, digest)
        head, columns = self.model.get_output_embeddings(), list[Tensor]()
        with torch.no_grad(), as_cut(adapter_for(self.model), plan, weights):
            for tokens, hidden in self._states(windows, batch_size):
                wanted = dense[len(columns)].to(hidden.device)
                loss, divergence = losses_and_divergences(head, hidden[None], wanted, tokens)
                columns.append(torch.cat([loss / (len(tokens) - 1), divergence / len(tokens)]).cpu())
        shutil.rmtree(self.real.scratch / digest, ignore_errors=True)
        return torch.stack(columns, dim=1)

    @torch.no_grad()
    def _states(self, windows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each window, and what the head reads of it, ``[tokens, d]``."""
        for tokens, hidden in final_states(self.model, windows, batch_size):
            yield from zip(tokens, hidden, strict=True)
