"""A pass layer by layer: the gradients of a model that need the memory of one layer.

The way up keeps the residual stream of every batch before every layer. On the way down each layer runs again, batch by
batch, with the gradient of the stream above it: the gradients of its weights come out, and that of the stream below,
which takes the place of the stream. A layer's mean gradients are reduced when its last batch is done. Four passes of
work instead of three, and the very numbers of `Pass`.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from prunescope.importance.collector import Batch, Collector
from prunescope.importance.gradient_collector import GradientCollector
from prunescope.importance.one_pass import GradientPass, Pass, check_loss, transfer
from prunescope.importance.partial import PartialSums, Reached
from prunescope.models.loss import predicted_tokens, token_losses
from prunescope.models.memory import trim
from prunescope.models.sweep import Streams, Sweep, rows_of
from prunescope.progress import Progress

log = logging.getLogger(__name__)

UP, DOWN = 1, 3
"""Work of a layer on the way up, and on the way down: it runs again, and backwards."""


class Border:
    """The gradient of the residual stream before the last finished layer: what a killed pass needs beside its sums."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}


class LayeredPass(Pass):
    """A pass that runs layer by layer, all batches through each."""

    def run(self, partial: PartialSums | None) -> GradientPass:
        count, border = len(self.adapter.layers), Border()
        reached = partial.reached() if partial else None
        if partial and reached:
            partial.restore([*self.collectors, border])
            log.info("going on below layer %s of %s, after the way up", count - reached.layers, count)
        done = reached.layers if reached else 0
        folder = partial.path.parent if partial else None
        samples, tokens = self.extent.samples, self.parts[0].shape[1]
        streams, sweep = (
            Streams(self.adapter, count + 1, samples, tokens, folder),
            Sweep(self.adapter, self.parts[0][:1]),
        )
        total = samples * (UP * (count - done) + DOWN * (count - done))
        self.progress = Progress("gradients, layer by layer", total=total, unit="windows of a layer")
        self._climb(sweep, streams, count - done, first=not reached)
        if reached:
            loss_sum = reached.loss_sum
            streams.write(count - done, slice(None), border.sums["gradient"])
        else:
            loss_sum = self._turn(streams)
        with ExitStack() as stack:
            for collector in self._of_gradients():
                collector.attach(stack)
            for layer in reversed(range(count - done)):
                self._descend(sweep, streams, layer)
                if partial and layer:
                    border.sums["gradient"] = streams.read(layer, slice(None))
                    finished = Reached(self.effort.batch_size, self.extent.batches, loss_sum, count - layer)
                    partial.save_if_due(finished, [*self.collectors, border])
        return self._result(loss_sum / self.predicted, resumed_layers=done)

    def _begin(self, number: int, collectors: Sequence[Collector]) -> None:
        part = self.parts[number]
        batch = Batch(number, samples=len(part), share=predicted_tokens(part) / self.predicted)
        for collector in collectors:
            collector.begin_batch(batch)

    @torch.no_grad()
    def _climb(self, sweep: Sweep, streams: Streams, layers: int, first: bool) -> None:
        """Keep the streams before the lowest `layers`, and after them; `first`: what the way up shows is noted."""
        watching = [one for one in self.collectors if not isinstance(one, GradientCollector)] if first else []
        rows = rows_of(self.parts)
        for part, place in zip(self.parts, rows, strict=True):
            streams.write(0, place, self.adapter.embed(part))
        with ExitStack() as stack:
            for collector in watching:
                collector.attach(stack)
            for layer in range(layers):
                for number, place in enumerate(rows):
                    self._begin(number, watching)
                    streams.write(layer + 1, place, sweep.run(layer, streams.read(layer, place)))
                    self.progress.advance(UP * len(self.parts[number]), f"layer {layer}, on the way up")

    def _turn(self, streams: Streams) -> float:
        """Put the gradient of the topmost stream in its place; return the summed loss of all batches."""
        head, top, loss_sum = self.adapter.model.get_output_embeddings(), len(self.adapter.layers), 0.0
        for number, (part, place) in enumerate(zip(self.parts, rows_of(self.parts), strict=True)):
            hidden = streams.read(top, place).requires_grad_()
            with torch.enable_grad():
                loss = token_losses(head, self.adapter.normed(hidden)[:, :-1], part[:, 1:]).sum()
            (loss / predicted_tokens(part)).backward()
            value = loss.item()
            check_loss(self.adapter, part, value, number)
            loss_sum += value
            streams.write(top, place, hidden.grad)
        return loss_sum

    def _descend(self, sweep: Sweep, streams: Streams, layer: int) -> None:
        """Run a layer up and down for every batch; the gradient of the stream before it takes the stream's place."""
        collectors = self._of_gradients()
        for number, place in enumerate(rows_of(self.parts)):
            self._begin(number, collectors)
            for collector in collectors:
                collector.begin_backward()
            hidden = streams.read(layer, place).requires_grad_(layer > 0)
            with torch.enable_grad():
                after = sweep.run(layer, hidden)
            after.backward(streams.read(layer + 1, place))
            if layer:
                streams.write(layer, place, hidden.grad)
            watched = self.observer.watched()
            self.observer.check(dict(zip(watched, transfer(list(watched.values())), strict=True)))
            self.half_way(number, [layer])
            self.progress.advance(DOWN * len(self.parts[number]), f"layer {layer}, on the way down")
        for each in self.collectors:
            each.finish(layer)
        trim()
