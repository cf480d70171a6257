"""What collectors of gradients have in common: statistics of |g| per batch, and stability between two halves."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prunescope.errors import NonFiniteError
from prunescope.importance.collector import Batch, Collector, Extent, Scores
from prunescope.importance.criteria import Terms
from prunescope.importance.statistics import SUMS, AbsoluteSums, GradientStatistics, Stopwatch, statistics_of
from prunescope.models.adapter import Block, ModelAdapter
from prunescope.ranks import rank_correlation

WAY_OUT = "try gradients.dtype: float32, or check the checkpoint for damaged weights"


@dataclass(frozen=True)
class Source:
    """Where a gradient comes from: its layer, and how many values it has per batch or, if `per_token`, per token."""

    layer: int
    size: int
    per_token: bool = False


class GradientCollector(Collector):
    """Keeps statistics of |g| per batch, and sums of group terms apart for even and odd batches.

    Attributes:
        compared: the criterion by which stability compares the halves. sources: of the gradients, by name.
        stopwatch: adds up what the statistics cost.
    """

    compared: str

    def __init__(self, adapter: ModelAdapter, criteria: dict[str, Terms], extent: Extent) -> None:
        super().__init__(adapter, criteria, extent)
        self.sources: dict[str, Source] = {}
        self.noted: list[str] = []
        self.absolute = AbsoluteSums()
        self.stopwatch = Stopwatch(next(adapter.model.parameters()).device)

    def begin_batch(self, batch: Batch) -> None:
        super().begin_batch(batch)
        self.noted = []

    # --- halves -------------------------------------------------------------------------------------

    def half_way(self, layer: int, share: float) -> None:
        """Keep the scores of a layer by the batches so far, which are a `share` of all windows."""
        for name in self.criteria:
            for block in self.adapter.blocks:
                if block.facts.layer == layer:
                    self.sums[f"first/{name}/{block.name}"] = self.so_far(name, block, share)

    def scores(self, name: str) -> Scores:
        return {block.name: self.so_far(name, block, 1) for block in self.adapter.blocks}

    @abstractmethod
    def so_far(self, name: str, block: Block, share: float) -> Tensor:
        """Return the scores of a block's groups by the batches so far, ``[groups]``, on the CPU."""

    def first(self, name: str) -> Scores:
        """Return what `half_way` kept; nothing, where it was never called."""
        found = {block.name: self.sums.get(f"first/{name}/{block.name}") for block in self.adapter.blocks}
        return {block: scores for block, scores in found.items() if scores is not None}

    def add_half(self, criterion: str, name: str, terms: Tensor, scale: float) -> None:
        """Add a batch's terms of the groups, ``[groups]``, to the half that the batch belongs to."""
        self.add(f"{criterion}/{self.batch.number % 2}/{name}", terms, scale)

    @abstractmethod
    def names_of(self, block: str) -> list[str]:
        """Return the names that the terms of a block were added under."""

    def half(self, criterion: str, block: str, number: int) -> Tensor | int:
        """Return the sum of a block's terms over the even (0) or odd (1) batches, ``[groups]``; 0: there are none.

        On the CPU, where a half that was read back from a file still is, if no batch has been added to it since.
        """
        found = (self.sums.get(f"{criterion}/{number}/{name}") for name in self.names_of(block))
        return sum(terms.cpu() for terms in found if terms is not None)

    def both(self, criterion: str, block: str) -> Tensor:
        """Return the sum of a block's terms over the batches so far, ``[groups]``, on the CPU."""
        return self.half(criterion, block, 0) + self.half(criterion, block, 1)

    def agreement(self) -> dict[int, float | None]:
        """Correlate the ranking of the groups by even batches with that by odd batches, layer by layer.

        By saliency per cost, over the attention and MLP groups of a layer together, since selection compares both
        kinds with each other. With a single batch the second half is zero: there is no correlation.
        """
        layers: dict[int, list[np.ndarray]] = defaultdict(list)
        for block in self.adapter.blocks:
            halves = np.stack([self._numbers(block.name, half, block.facts.groups) for half in (0, 1)])
            layers[block.facts.layer].append(halves / block.facts.cost)
        return {layer: rank_correlation(*np.concatenate(parts, axis=1)) for layer, parts in layers.items()}

    def _numbers(self, block: str, half: int, groups: int) -> np.ndarray:
        terms = self.half(self.compared, block, half)
        return terms.numpy() if isinstance(terms, Tensor) else np.zeros(groups, dtype=np.float32)

    # --- statistics ---------------------------------------------------------------------------------

    def note(self, name: str, gradient: Tensor) -> None:
        """Note the statistics of a gradient in this batch."""
        with self.stopwatch.running():
            rows, row = f"statistics/{name}", self.absolute.of(gradient.float())
            if rows not in self.sums:
                self.sums[rows] = row.new_full((self.extent.batches, len(row)), torch.nan)
            self.sums[rows] = self.sums[rows].to(row.device)
            self.sums[rows][self.batch.number] = row
        self.noted.append(name)

    def watched(self) -> dict[str, Tensor]:
        """Return the scalars that must be finite of the gradients noted in this batch since it began, by name."""
        largest = SUMS.index("max")
        return {name: self.sums[f"statistics/{name}"][self.batch.number, largest] for name in self.noted}

    def check(self, values: Mapping[str, float]) -> None:
        """Raise `NonFiniteError` where one of the `watched` values is not finite.

        It flows down through the model, so the highest is where it began.
        """
        bad = [name for name in self.sources if not np.isfinite(values.get(name, 0.0))]
        if bad:
            name = max(reversed(bad), key=lambda name: self.sources[name].layer)
            dtype = str(next(self.adapter.model.parameters()).dtype).removeprefix("torch.")
            raise NonFiniteError(
                f"gradient of {name} (layer {self.sources[name].layer}) is not finite in batch {self.batch.number}, "
                f"compute dtype {dtype}; {WAY_OUT}"
            )

    def statistics(self, tokens: list[int]) -> GradientStatistics:
        """Return the statistics of all batches; `tokens`: of each batch."""
        sources = self.sources.values()
        sums = [self.sums[f"statistics/{name}"].cpu().numpy() for name in self.sources]
        counts = [np.array(tokens) if source.per_token else np.ones(len(tokens)) for source in sources]
        sizes = np.stack([source.size * count for source, count in zip(sources, counts, strict=True)])
        return GradientStatistics(
            names=list(self.sources),
            layers=[source.layer for source in sources],
            sizes=sizes,
            values=statistics_of(np.stack(sums), sizes),
        )
