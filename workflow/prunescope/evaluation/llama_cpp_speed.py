"""GGUF files in llama.cpp: what they cost by their shape, and an engine to time them, on the CPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader

from prunescope.errors import ExportError
from prunescope.evaluation.cost import Cost
from prunescope.evaluation.speed import Runs, extra_memory, random_tokens
from prunescope.export import llama_cpp

CACHE_BYTES = 2
"""Of a number in the key-value cache: llama.cpp keeps float16 unless it is told otherwise."""


def gguf_cost(file: Path) -> Cost:
    """Return what a GGUF file says of its size; operations are those of the checkpoint that it was made from."""
    reader = GGUFReader(file)

    def field(name: str) -> Any:
        return reader.fields[name].contents()

    def told(name: str) -> Any:
        return field(f"{field('general.architecture')}.{name}")

    groups, layers = told("attention.head_count_kv"), told("block_count")
    heads = sum(groups) if isinstance(groups, list) else groups * layers
    return Cost(
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        checkpoint_bytes=file.stat().st_size,
        weight_bytes=sum(int(tensor.n_bytes) for tensor in reader.tensors),
        kv_cache_bytes_per_token=heads * (told("attention.key_length") + told("attention.value_length")) * CACHE_BYTES,
    )


class LlamaCpp:
    """A GGUF file in llama.cpp; an `Engine`. It runs in this process: the export has shown that the file runs."""

    def __init__(self, file: Path, threads: int) -> None:
        self.library, self.threads = llama_cpp.library(), threads
        parameters = self.library.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = self.library.llama_model_load_from_file(str(file).encode(), parameters)
        if not self.model:
            raise ExportError(f"llama.cpp refuses {file}")
        vocabulary = self.library.llama_model_get_vocab(self.model)
        self.vocabulary = self.library.llama_vocab_n_tokens(vocabulary)

    def run(self, runs: Runs, batch: int, prompt: int, generate: int) -> None:
        tokens = random_tokens(batch, prompt, self.vocabulary)
        with extra_memory(torch.device("cpu"), runs.keep_extra), self._context(batch, prompt + generate) as seconds:
            runs.prefill.append(seconds(tokens, 0))
            # Any token will do: what is timed does not depend on it.
            runs.decode += [seconds(tokens[:, :1], prompt + step) for step in range(generate)]

    @contextmanager
    def _context(self, batch: int, length: int) -> Iterator[Callable[[torch.Tensor, int], float]]:
        """Yield a function that runs tokens ``[batch, n]`` from a position on and returns the seconds it took."""
        parameters = self.library.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = batch * length
        parameters.n_seq_max = batch
        parameters.n_threads = parameters.n_threads_batch = self.threads
        context = self.library.llama_init_from_model(self.model, parameters)
        if not context:
            raise ExportError(f"llama.cpp has no room for {batch} sequences of {length} tokens")
        try:
            yield partial(self._timed, context)
        finally:
            self.library.llama_free(context)

    def _timed(self, context: int, tokens: torch.Tensor, position: int) -> float:
        """Return the seconds of one call; logits are computed for the last token of each sequence."""
        batch = self.library.llama_batch_init(tokens.numel(), 0, 1)
        try:
            batch.n_tokens = tokens.numel()
            for place, token in enumerate(tokens.flatten().tolist()):
                sequence, offset = divmod(place, tokens.shape[1])
                batch.token[place], batch.pos[place] = token, position + offset
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, sequence
                batch.logits[place] = offset == tokens.shape[1] - 1
            begin = time.perf_counter()
            status = self.library.llama_decode(context, batch)
            self.library.llama_synchronize(context)
            seconds = time.perf_counter() - begin
        finally:
            self.library.llama_batch_free(batch)
        if status != 0:
            raise ExportError(f"llama.cpp could not run {tokens.numel()} tokens (status {status})")
        return seconds
