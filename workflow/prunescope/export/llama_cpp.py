"""llama.cpp, through llama-cpp-python: quantising a file, and what a file computes.

What works on a file runs in a process of its own, because llama.cpp ends the process when one of its checks fails.
"""

import ctypes
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import ExportError

QUANTISED = {
    "q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0",
    "q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0",
    "q4_k_m": "LLAMA_FTYPE_MOSTLY_Q4_K_M",
}
"""Types that llama.cpp's own quantiser makes -> its constant."""

GGML_LOG_LEVEL_ERROR = 4

KEPT: list[Any] = []
"""Callbacks that were handed to the library, which holds no reference of its own."""


def library() -> Any:
    """Import llama-cpp-python and let only errors through to the log."""
    import llama_cpp

    @llama_cpp.llama_log_callback
    def errors_only(level: int, text: bytes, _: Any) -> None:
        if level == GGML_LOG_LEVEL_ERROR:
            sys.stderr.write(text.decode(errors="replace"))

    KEPT.append(errors_only)
    llama_cpp.llama_log_set(errors_only, ctypes.c_void_p(0))
    return llama_cpp


def quantise(source: Path, output: Path, file_type: str) -> None:
    """Quantise a GGUF file with llama.cpp.

    Raises:
        ExportError: llama.cpp failed.
    """
    if _isolated(_quantise, str(source), str(output), QUANTISED[file_type]) != 0:
        raise ExportError(f"llama.cpp could not quantise {source} to {file_type}")


def compute_logits(path: Path, tokens: list[int]) -> np.ndarray:
    """Return the logits that llama.cpp computes, float32 ``[len(tokens), vocabulary]``.

    Raises:
        ExportError: llama.cpp could not load or run the file.
    """
    return _isolated(_logits, str(path), tokens)


def tokenize(path: Path, text: str) -> list[int]:
    """Return the tokens of a text by the vocabulary of a GGUF file, without special tokens.

    Raises:
        ExportError: llama.cpp could not load the file.
    """
    return _isolated(_tokenize, str(path), text).tolist()


def _isolated(function: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray:
    """Return what a function of this file returns in another process.

    It comes as bytes: a step may open no pickle of anything that has a class (`confine`).
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        refused, dtype, shape, data = ours.recv()
    except EOFError:
        raise ExportError(f"llama.cpp stopped at one of its own checks while it worked on {arguments[0]}") from None
    finally:
        process.join()
    if refused:
        raise ExportError(f"llama.cpp refuses {arguments[0]}: {refused}")
    return np.frombuffer(data, dtype).reshape(shape).copy()


# --- in the other process -------------------------------------------------------------------------------


def _answer(connection: Connection, function: Callable[..., np.ndarray], arguments: tuple[Any, ...]) -> None:
    try:
        found = function(*arguments)
    except ValueError as error:  # llama-cpp-python's, when a file does not load
        connection.send((str(error) or "it does not say why", "", (), b""))
    else:
        connection.send(("", found.dtype.str, found.shape, found.tobytes()))


def _quantise(source: str, output: str, constant: str) -> np.ndarray:
    llama_cpp = library()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, constant)
    return np.array(llama_cpp.llama_model_quantize(source.encode(), output.encode(), parameters))


def _logits(path: str, tokens: list[int]) -> np.ndarray:
    llama_cpp = library()
    model = llama_cpp.Llama(path, n_ctx=len(tokens), logits_all=True, n_gpu_layers=0, verbose=False)
    model.eval(tokens)
    return np.array(model.scores[: len(tokens)], dtype=np.float32)


def _tokenize(path: str, text: str) -> np.ndarray:
    llama_cpp = library()
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    return np.array(model.tokenize(text.encode(), add_bos=False, special=False))
