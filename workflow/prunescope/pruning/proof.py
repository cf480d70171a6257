"""The proof that a pruned checkpoint computes what its plan says: its logits against those of the masked parent.

Both are read by transformers, as users will read them, and not by `models.checkpoint`, which made the one from the
other: where the two readers disagree about the parent, the proof fails.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.errors import NonFiniteError, PrunescopeError
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.configuration import plain
from prunescope.models.loading import default_device
from prunescope.models.offload import OffloadedLayers
from prunescope.models.pruned import register_pruned_architectures
from prunescope.pruning.surgery import NOTHING, Fitted, mask_weights

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Of logits that should be equal, in standard deviations of the logits; float32 sums differ by their order."""

Named = dict[str, Tensor]
"""Tensors by the name of a text."""

RANDOM = "random tokens"
TOKENS = 64
"""Of the text that the pruning step proves itself on."""

_WAY_OUT = (
    "it was not kept. Transformers reads the unpruned model otherwise than it was cut: check its files, and report this"
)


class ProofError(PrunescopeError):
    """A pruned checkpoint does not compute what its plan says."""


def prove(facts: ModelFacts, plan: PruningPlan, checkpoint: Path, fitted: Fitted = NOTHING) -> float:
    """Compare a pruned checkpoint with its parent, masked by the plan and fitted, on `TOKENS` random tokens.

    Memory holds one layer in float32 beside the mapped files.

    Returns:
        the largest difference of a logit, in standard deviations of the logits.

    Raises:
        ProofError: it is above `TOLERANCE`. NonFiniteError: the masked model's logits are not finite.
    """
    parent, pruned = load_by_transformers(Path(facts.path)), load_by_transformers(checkpoint)
    _check_uncut(parent, pruned, facts)
    windows = {RANDOM: random_windows(parent.config.vocab_size, 1, TOKENS)}
    wanted = logits_by_layer(parent, windows, plan, fitted)[RANDOM]
    if not wanted.isfinite().all():
        raise NonFiniteError(_explain(facts))
    difference = logit_difference(logits_by_layer(pruned, windows)[RANDOM], wanted)
    if not difference <= TOLERANCE:  # NaN is a failure too
        raise ProofError(
            f"the pruned checkpoint does not compute what '{facts.name}' computes with the removed groups silent: a "
            f"logit differs by {difference:.2g} standard deviations (at most {TOLERANCE:g} is rounding); {_WAY_OUT}"
        )
    log.info(
        "proved on %d tokens: logits differ by %.1e standard deviations from the masked model's", TOKENS, difference
    )
    return difference


def _check_uncut(parent: PreTrainedModel, pruned: PreTrainedModel, facts: ModelFacts) -> None:
    """Compare what no plan cuts: embedding, final norm and head, of which a text reads only some rows."""
    others = dict(pruned.named_parameters())
    layers = tuple(adapter_for(parent).layer_prefix(layer) for layer in range(facts.layers))
    for name, values in parent.named_parameters():
        if name.startswith(layers):
            continue
        if not torch.allclose(values, others[name].to(values.dtype), rtol=0, atol=0, equal_nan=True):
            raise ProofError(f"{name!r} of the pruned checkpoint is not that of '{facts.name}'; {_WAY_OUT}")


def _explain(facts: ModelFacts) -> str:
    """Say why the logits of a model are not finite."""
    said = f"'{facts.name}' computes logits that are not finite once the removed groups are silent"
    checkpoint = open_checkpoint(facts.path)
    for name in checkpoint.in_file_order:
        if not checkpoint.read(name).isfinite().all():
            return f"{said}: '{name}' in {checkpoint.tensors[name].file} holds NaN or infinity; fetch the model again"
    return f"{said}, although its weights are: they are too large for {checkpoint.config.dtype}"


def random_windows(vocabulary: int, count: int, tokens: int) -> Tensor:
    """Return random token ids, int64 ``[count, tokens]``, the same at every call."""
    return torch.randint(vocabulary, (count, tokens), generator=torch.Generator().manual_seed(0))


def load_by_transformers(folder: Path) -> PreTrainedModel:
    """Load a checkpoint by transformers alone, on the CPU, in the dtype that its configuration names."""
    register_pruned_architectures()
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    for kind, names in report.items():
        if names:
            log.warning("transformers reports of %s: %s %s", folder, kind.replace("_", " "), ", ".join(map(str, names)))
    plain(model.config)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def logits_by_layer(
    model: PreTrainedModel, windows: Named, plan: PruningPlan | None = None, fitted: Fitted = NOTHING
) -> Named:
    """Return logits in float32 on the default device, with one layer there at a time.

    Args:
        model: on the CPU, in any dtype; it is used up. windows: int64 ``[n, tokens]`` by name.
        plan: what to silence, if anything. fitted: see `mask_weights`.

    Returns:
        float32 ``[n, tokens, vocab]`` by name, on the CPU.
    """
    adapter, device = adapter_for(model), default_device()
    read = adapter.parameters.__getitem__
    read = mask_weights(adapter, plan, read, fitted) if plan else read
    layers = {adapter.layer_prefix(index): layer for index, layer in enumerate(adapter.layers)}
    OffloadedLayers(layers, read, device, torch.float32)
    model.to(device=device, dtype=torch.float32)  # the rest: embedding, final norm, head
    logits = {name: model(rows.to(device)).logits.cpu() for name, rows in windows.items()}
    for parameter in model.parameters():
        parameter.data = torch.empty(0)
    return logits


def logit_difference(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference of two sets of logits, in standard deviations of those that are wanted."""
    difference = (found - wanted).abs().max().item()
    return difference / wanted.std().item() if difference else difference  # logits may be zero, as of a head of zeros
