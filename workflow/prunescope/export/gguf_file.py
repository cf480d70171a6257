"""A checkpoint as a GGUF file for llama.cpp.

Layers of one shape make a ``llama`` model, others a ``deci`` one, whose widths are arrays with a number per
layer. What `deci` cannot hold is refused; what it gets wrong silently is stubbed (`_stubs`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as TensorType
from torch import Tensor
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from prunescope.errors import ExportError, NonFiniteError
from prunescope.export.gguf_tokenizer import add_tokenizer
from prunescope.export.source import Source
from prunescope.models.stock import LayerShape

FILE_TYPES = {
    "f32": (TensorType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (TensorType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (TensorType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
"""Types that are written here, without llama.cpp."""

STATIC_ROPES = ("default", "linear", "llama3")
"""Kinds of rotary embedding whose frequencies do not depend on the text."""

STUB_WIDTH = 32
"""Channels of an MLP that adds nothing; every quantised format can hold rows of 32."""

WAY_OUT = "use `prunescope export uniform` instead"


@dataclass(frozen=True)
class Entry:
    """A tensor of the file: `shape` as in torch, float32 `values` made when they are written."""

    name: str
    shape: tuple[int, ...]
    values: Callable[[], np.ndarray]


def write_gguf(checkpoint: Source, output: Path, file_type: str, pre_tokenizer: str | None = None) -> None:
    """Write a checkpoint as GGUF, tensor by tensor; matrices in `file_type`, vectors in float32.

    Args:
        file_type: one of `FILE_TYPES`.
        pre_tokenizer: llama.cpp's name of the pre-tokenizer; None: told from the tokenizer.

    Raises:
        ExportError: llama.cpp has no form for this model or its tokenizer.
        NonFiniteError: a weight is not finite in `file_type`.
    """
    check_expressible(checkpoint)
    matrix_type, label = FILE_TYPES[file_type]
    writer = gguf.GGUFWriter(output, gguf.MODEL_ARCH_NAMES[architecture_of(checkpoint)])
    try:
        writer.add_file_type(label)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _add_sizes(writer, checkpoint)
        add_tokenizer(writer, checkpoint.folder, checkpoint.config.vocab_size, pre_tokenizer)
        entries = [(entry, matrix_type if len(entry.shape) > 1 else TensorType.F32) for entry in tensors(checkpoint)]
        for entry, kind in entries:
            size = math.prod(entry.shape) * (4 if kind == TensorType.F32 else 2)
            writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for entry, kind in entries:
            writer.write_tensor_data(_encode(entry, kind))
    finally:
        writer.close()


def _encode(entry: Entry, kind: TensorType) -> np.ndarray:
    with np.errstate(over="ignore"):  # said below, with the name
        encoded = gguf.quantize(np.ascontiguousarray(entry.values(), dtype=np.float32), kind)
    if not np.isfinite(gguf.dequantize(encoded, kind)).all():
        raise NonFiniteError(f"{entry.name} is not finite in {kind.name}; export it as f32 or bf16")
    return encoded


def _add_sizes(writer: gguf.GGUFWriter, checkpoint: Source) -> None:
    config, layers = checkpoint.config, checkpoint.layers
    writer.add_name(checkpoint.folder.absolute().parent.name)
    writer.add_block_count(len(layers))
    writer.add_context_length(checkpoint.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_vocab_size(config.vocab_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(checkpoint.head_dim)
    writer.add_key_length(checkpoint.head_dim)
    writer.add_value_length(checkpoint.head_dim)
    heads, kv_heads = zip(*(_with_first_head(index, shape) for index, shape in enumerate(layers)), strict=True)
    widths = [shape.width or STUB_WIDTH for shape in layers]
    writer.add_head_count(heads[0] if checkpoint.even else heads)
    writer.add_head_count_kv(kv_heads[0] if checkpoint.even else kv_heads)
    writer.add_feed_forward_length(widths[0] if checkpoint.even else widths)


def _with_first_head(index: int, shape: LayerShape) -> tuple[int, int]:
    return (1, 1) if index == 0 and not shape.heads else (shape.heads, shape.kv_heads)


# --- tensors --------------------------------------------------------------------------------------------


def architecture_of(checkpoint: Source) -> gguf.MODEL_ARCH:
    """Return the simplest architecture of llama.cpp that has room for the layers."""
    return gguf.MODEL_ARCH.LLAMA if checkpoint.even else gguf.MODEL_ARCH.DECI


def tensors(checkpoint: Source) -> Iterator[Entry]:
    """Yield every tensor of the file: the checkpoint's, the stubs, and the factors of the rotary frequencies."""
    for name, (role, target) in _names(checkpoint).items():
        turned = role in (gguf.MODEL_TENSOR.ATTN_Q, gguf.MODEL_TENSOR.ATTN_K)
        yield Entry(target, checkpoint.parameters[name], partial(_values, checkpoint, name, turned))
    for index, shape in enumerate(checkpoint.layers):
        yield from _stubs(checkpoint, index, missing_attention=not shape.heads, missing_mlp=not shape.width)
    factors = rope_factors(checkpoint)
    if factors is not None:
        yield Entry("rope_freqs.weight", tuple(factors.shape), factors.numpy)


def _values(checkpoint: Source, name: str, turned: bool) -> np.ndarray:
    weights = checkpoint.read(name).float()
    return (interleave(weights, checkpoint.head_dim) if turned else weights).numpy()


def interleave(weights: Tensor, head_dim: int) -> Tensor:
    """Reorder the rows of query or key weights (or the entries of a bias), ``[heads * head_dim, ...]``.

    transformers rotates entry i of a head with entry i + head_dim / 2, llama.cpp's `llama` and `deci` entry 2i
    with 2i + 1. The order within a head does not depend on how many heads there are.
    """
    rotated = weights.reshape(-1, 2, head_dim // 2, *weights.shape[1:])
    return rotated.swapaxes(1, 2).reshape(weights.shape).contiguous()


def _stubs(checkpoint: Source, index: int, missing_attention: bool, missing_mlp: bool) -> Iterator[Entry]:
    """Yield blocks that add zero, where llama.cpp's `deci` needs one.

    A layer without MLP loses what its attention adds (`llm_build_deci` leaves the layer before it has stored the
    sum), and the head size is read off layer 0, so that attention must be there.
    """
    stubs: list[tuple[str, tuple[str, ...], str, int]] = []
    if missing_attention and index == 0:
        stubs.append(("attn_norm", ("attn_q", "attn_k", "attn_v"), "attn_output", checkpoint.head_dim))
    if missing_mlp:
        stubs.append(("ffn_norm", ("ffn_gate", "ffn_up"), "ffn_down", STUB_WIDTH))
    hidden = checkpoint.config.hidden_size
    for norm, inputs, output, width in stubs:
        yield _constant(f"blk.{index}.{norm}.weight", (hidden,), 1.0)
        for name in inputs:
            yield _constant(f"blk.{index}.{name}.weight", (width, hidden))
        yield _constant(f"blk.{index}.{output}.weight", (hidden, width))


def _constant(name: str, shape: tuple[int, ...], value: float = 0.0) -> Entry:
    return Entry(name, shape, partial(np.full, shape, value, dtype=np.float32))


def rope_factors(checkpoint: Source) -> Tensor | None:
    """Return what llama.cpp divides the plain rotary frequencies by, ``[head_dim / 2]``; None: by nothing."""
    parameters = checkpoint.config.rope_parameters
    kind = parameters.get("rope_type", "default")
    if kind == "default":
        return None
    exponents = torch.arange(0, checkpoint.head_dim, 2, dtype=torch.float64) / checkpoint.head_dim
    scaled, _ = ROPE_INIT_FUNCTIONS[kind](checkpoint.config, torch.device("cpu"))
    return (parameters["rope_theta"] ** -exponents / scaled.double()).float()


# --- what the format can hold ---------------------------------------------------------------------------


def check_expressible(checkpoint: Source) -> None:
    """Raise `ExportError` for a model that llama.cpp's `llama` and `deci` architectures cannot compute."""
    config, rope = checkpoint.config, checkpoint.config.rope_parameters
    if rope.get("rope_type", "default") not in STATIC_ROPES:
        raise ExportError(f"rotary embedding of type '{rope['rope_type']}' has no GGUF form here; {WAY_OUT}")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ExportError(f"a partial rotary embedding has no form in llama.cpp's 'deci'; {WAY_OUT}")
    if config.hidden_act != "silu":
        raise ExportError(f"activation '{config.hidden_act}' has no form in llama.cpp's 'deci'; {WAY_OUT}")
    for name, (role, target) in _names(checkpoint).items():
        (width, *_) = checkpoint.parameters[name]
        if role == gguf.MODEL_TENSOR.ATTN_Q and target.endswith(".bias") and width != config.hidden_size:
            raise ExportError(
                f"{name} has {width} entries, and llama.cpp's 'deci' takes a query bias only where all heads are "
                f"kept ({config.hidden_size} entries): limit attention (limits.attention.max_rate: 0) or {WAY_OUT}"
            )


def _names(checkpoint: Source) -> dict[str, tuple[gguf.MODEL_TENSOR, str]]:
    """Map each parameter to (its role, its name in the file)."""
    architecture = architecture_of(checkpoint)
    table = gguf.get_tensor_name_map(architecture, len(checkpoint.layers))
    names = {}
    for name in checkpoint.parameters:
        found = table.get_type_and_name(name, (".weight", ".bias"))
        if found is None:
            raise ExportError(f"llama.cpp's '{gguf.MODEL_ARCH_NAMES[architecture]}' has no place for {name}; {WAY_OUT}")
        names[name] = found
    return names
