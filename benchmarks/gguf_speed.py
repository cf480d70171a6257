"""Time two GGUF files against each other in llama.cpp, in turns, because a machine is never quiet for long.

    python benchmarks/gguf_speed.py results/.../export/gguf/q8_0.gguf unpruned/export/gguf/q8_0.gguf

Prints, for reading a prompt and for writing one token after the other, the median of the tokens per second of either
file and of their ratio within a round.
"""

import argparse
import statistics
import time
from pathlib import Path

import llama_cpp

PROMPT, WRITTEN = 256, 48


def speeds(model: llama_cpp.Llama) -> tuple[float, float]:
    """Return tokens per second of reading `PROMPT` tokens and of writing `WRITTEN` ones."""
    model.reset()
    begin = time.perf_counter()
    model.eval(list(range(1000, 1000 + PROMPT)))
    read = time.perf_counter()
    for token in range(2000, 2000 + WRITTEN):  # any token will do: what is timed does not depend on it
        model.eval([token])
    return PROMPT / (read - begin), WRITTEN / (time.perf_counter() - read)


def compare(files: list[Path], rounds: int, threads: int) -> None:
    models = [
        llama_cpp.Llama(str(file), n_ctx=PROMPT + WRITTEN, n_threads=threads, n_threads_batch=threads, verbose=False)
        for file in files
    ]
    measured = [[speeds(model) for model in models] for _ in range(rounds + 1)][1:]  # the first one warms up
    for place, what in enumerate(("reading", "writing")):
        first, second = ([round_[index][place] for round_ in measured] for index in range(2))
        ratios = [one / other for one, other in zip(first, second, strict=True)]
        print(
            f"{what}: {statistics.median(first):.0f} and {statistics.median(second):.0f} tokens/s, ratio "
            f"{statistics.median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    compare(told.files, told.rounds, told.threads)
