"""The engine: one pass over the calibration windows, every criterion and statistic from it."""

import logging
from collections.abc import Iterable

from torch import Tensor

from prunescope.importance.criteria import FORMULAS
from prunescope.importance.layered import LayeredPass
from prunescope.importance.modes import Mode
from prunescope.importance.one_pass import Effort, GradientPass, Pass
from prunescope.importance.partial import PartialSums
from prunescope.models.adapter import ModelAdapter
from prunescope.models.memory import out_of_memory, release

log = logging.getLogger(__name__)


def collect_gradients(
    adapter: ModelAdapter,
    windows: Tensor,
    criteria: Iterable[str],
    batch_size: int,
    mode: Mode = Mode("accumulate"),  # noqa: B008 (frozen)
    checkpointing: bool = False,
    partial: PartialSums | None = None,
) -> GradientPass:
    """Score all groups of a model by every criterion in one pass.

    When memory runs out, the pass begins anew with less of it: see `Effort.smaller`.

    Args:
        windows: int ``[n, tokens]``, full windows without padding.
        criteria: names from `FORMULAS`; those that `mode` cannot score are left out.
        batch_size: windows per batch.
        checkpointing: compute the activations of a layer again on the way down instead of keeping them.
        partial: where the pass is saved as it goes, and taken up again.

    Raises:
        NonFiniteError: a loss, gradient or saliency is NaN or infinite; names the layer.
        torch.OutOfMemoryError: not even single windows fit.
    """
    chosen = {name: FORMULAS[name] for name in mode.scored(criteria)}
    reached = partial.reached() if partial else None
    layered = mode.name == "layered"
    kind = LayeredPass if layered else Pass
    effort = Effort(reached.batch_size if reached else batch_size, checkpointing or adapter.offloaded or layered)
    while True:
        try:
            return kind(adapter, windows, chosen, effort, mode).run(partial)
        except RuntimeError as error:
            smaller = effort.smaller()
            if smaller is None or not out_of_memory(error):
                raise
        release()
        how = f"{smaller.batch_size}{', layers checkpointed' if smaller.checkpointing else ''}"
        log.warning("out of memory with %s windows per batch: trying %s", effort.batch_size, how)
        if partial and smaller.batch_size != effort.batch_size:
            partial.discard()
        effort = smaller
