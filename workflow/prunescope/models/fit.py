"""Whether the tensors of a checkpoint are those of the model that its configuration describes."""

import re
from collections.abc import Iterable, Mapping

import torch

from prunescope.errors import DataError
from prunescope.models.stored import Stored, TensorReader

Shapes = Mapping[str, tuple[int, ...]]
"""Of the parameters of a model, by name."""

HARMLESS = "rotary_emb.inv_freq"
"""How buffers end that old checkpoints hold; they are computed today."""

FLOATS = ("F64", "F32", "F16", "BF16")

BASE = "model."
"""What names lack in a model that was saved without its head; transformers reads them as well."""

WRAPPERS = {
    "_orig_mod.": "a compiled model was saved: save its `_orig_mod`",
    "module.": "a parallel wrapper was saved: save its `module`",
    "base_model.model.": "a model with an adapter was saved: save what peft's `merge_and_unload` returns",
}
"""Prefixes of names, and what happened."""

AGAIN = "load it with transformers, look at what it reports, and save it with `save_pretrained`"


def match(tensors: Mapping[str, Stored], shapes: Shapes, twins: Mapping[str, str]) -> dict[str, Stored]:
    """Return the stored tensor of every parameter.

    Args:
        tensors: what a checkpoint holds, by the names there.
        shapes: of the parameters, tied ones once.
        twins: other names of tied parameters -> the name in `shapes`.

    Raises:
        DataError: a tensor is missing or quantised, is not the model's, or has another shape.
    """
    known = shapes.keys() | twins.keys()
    found: dict[str, Stored] = {}
    for name, stored in tensors.items():
        if name.endswith(HARMLESS):
            continue
        own = name if name in known or BASE + name not in known else BASE + name
        if own in found:
            raise DataError(f"{found[own].name!r} and {name!r} both stand for {own!r}: {AGAIN}")
        found[own] = stored
    _check_floats(found)
    for twin, name in twins.items():
        if twin in found:
            _check_tied(twin, name, found)
            found.setdefault(name, found[twin])
            del found[twin]
    missing, unexpected = [name for name in shapes if name not in found], [name for name in found if name not in shapes]
    if missing or unexpected:
        raise DataError(_other_names(missing, unexpected))
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise DataError(_other_shape(name, found, shapes))
    return {name: found[name] for name in shapes}


def _check_floats(tensors: Mapping[str, Stored]) -> None:
    for name, stored in tensors.items():
        if stored.dtype not in FLOATS:
            raise DataError(
                f"{name!r} is stored as {stored.dtype}: the weights are quantised and cannot be pruned; take the "
                "unquantised checkpoint, prune it, and quantise the result"
            )


def _check_tied(twin: str, name: str, tensors: Mapping[str, Stored]) -> None:
    """Programs disagree about which of two tensors is the one where a model that ties them holds both."""
    if name not in tensors:
        return
    first, second = (TensorReader().read(tensors[one]) for one in (twin, name))
    both = torch.promote_types(first.dtype, second.dtype)
    if first.shape != second.shape or not torch.equal(first.to(both), second.to(both)):
        raise DataError(
            f"config.json ties {twin!r} to {name!r}, but they differ: set tie_word_embeddings to false if the head is "
            f"to count as it is stored, or delete {twin!r} if it is a leftover"
        )


def _other_names(missing: list[str], unexpected: list[str]) -> str:
    """Explain which names are missing and which are not the model's."""
    for prefix, why in WRAPPERS.items():
        if any(name.startswith(prefix) for name in unexpected):
            return f"the names of its tensors begin with {prefix!r}, as in {unexpected[0]!r}: {why}"
    if missing == ["lm_head.weight"]:
        instead = f"; {unexpected[0]!r} says that it was saved for another task" if unexpected else ""
        return (
            f"it has no head ('lm_head.weight'){instead}: take the checkpoint for text generation, or set "
            "tie_word_embeddings to true in config.json if the head is the embedding"
        )
    if not missing and all(name.endswith(".bias") for name in unexpected):
        return (
            f"it holds {_some(unexpected)}, which the configuration does without: set attention_bias or mlp_bias in "
            f"config.json if the family has them, or {AGAIN}"
        )
    if not unexpected and all(name.endswith(".bias") for name in missing):
        return (
            f"the configuration wants {_some(missing)}, which it does not hold: correct attention_bias or mlp_bias in "
            "config.json"
        )
    parts = [f"it lacks {_some(missing)}"] if missing else []
    parts += [f"it holds {_some(unexpected)}, which the configuration does without"] if unexpected else []
    return f"{' and '.join(parts)}: correct config.json, or {AGAIN}"


def _other_shape(name: str, tensors: Mapping[str, Stored], shapes: Shapes) -> str:
    stored, wanted = list(tensors[name].shape), list(shapes[name])
    kind = re.sub(r"\.\d+\.", ".*.", name)
    alike = {tensors[other].shape for other in shapes if re.sub(r"\.\d+\.", ".*.", other) == kind}
    way = "correct the sizes in config.json (vocab_size, hidden_size, heads, intermediate_size), or fetch it again"
    if len(alike) > 1:
        way = "its layers have different widths, so that another tool has pruned it: take the model that it was made of"
    return f"{name!r} is {stored} in {tensors[name].file.name}, and {wanted} by config.json: {way}"


def _some(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first!r}" + (f" and {len(others)} more" if others else "")
