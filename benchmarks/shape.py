"""Write a checkpoint of a public shape with random weights: what a large model costs, without its download.

    python benchmarks/shape.py Mistral-7B-v0.3 FOLDER             # 14.5 GB in shards, about two minutes on one core
    python benchmarks/shape.py Llama-3-8B FOLDER --layers 2 --vocabulary 512      # the full width, and little else

Random weights prove size and speed, never quality. The tokenizer is Mistral's own where `mistral-common` and
`sentencepiece` are installed and the vocabulary is Mistral's, else one token per byte.
"""

import argparse
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from measure import PUBLIC, Shape
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from prunescope.models.weights import write_shards

MISTRAL_TOKENIZER = "data/mistral_instruct_tokenizer_240323.model.v3"
SPREAD = 0.02
SHARD_BYTES = 5 * 10**9


def write_shape(shape: Shape, folder: Path, seed: int = 0, shard_bytes: int = SHARD_BYTES) -> int:
    """Write configuration, weights in bfloat16 and a tokenizer; return the number of parameters.

    A tensor is drawn as it is written, so that memory holds one shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = shape.build(torch.bfloat16, torch.device("meta"))
    model.config.save_pretrained(folder)
    tokenizer(shape.vocabulary).save_pretrained(folder)
    return write_shards(drawn(model, seed), folder, shard_bytes)


def drawn(model: nn.Module, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters of a skeleton: norms of 1, biases of 0, the rest normal with a deviation of `SPREAD`."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            yield name, torch.full(parameter.shape, float("norm" in name), dtype=parameter.dtype)
        else:
            values = torch.empty(parameter.shape, dtype=torch.float32).normal_(std=SPREAD, generator=generator)
            yield name, values.to(parameter.dtype)


def tokenizer(vocabulary: int) -> PreTrainedTokenizerBase:
    """Return Mistral's tokenizer, if it is installed and has that many tokens, else a token per byte."""
    found = importlib.util.find_spec("mistral_common")
    if found and found.submodule_search_locations and vocabulary == PUBLIC["Mistral-7B-v0.3"].vocabulary:
        file = Path(found.submodule_search_locations[0], MISTRAL_TOKENIZER)
        if file.is_file() and importlib.util.find_spec("sentencepiece"):
            return LlamaTokenizer(vocab_file=str(file))
    alphabet = {char: index for index, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytes_alone = Tokenizer(models.BPE(alphabet, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bytes_alone)


def main() -> None:
    """Write what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=PUBLIC)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, help="fewer than the public shape has")
    parser.add_argument("--vocabulary", type=int, help="fewer tokens than the public shape has, 256 at least")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    shape = PUBLIC[told.shape]
    smaller = {name: size for name in ("layers", "vocabulary") if (size := getattr(told, name))}
    written = write_shape(replace(shape, **smaller), told.folder, told.seed)
    print(f"{told.folder}: {written:,} parameters")


if __name__ == "__main__":
    main()
