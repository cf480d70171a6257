"""What the optional steps measured, as Markdown: zero-shot scores, speed and size, and any other numbers."""

from collections.abc import Mapping
from typing import cast

from prunescope.artifacts.document import Number
from prunescope.artifacts.measured import BASELINE, Measured
from prunescope.markdown import table

Values = Mapping[str, Number | None]
"""A number of every model that was measured, by its name."""

SIZES = (
    ("checkpoint, MB", "checkpoint_bytes", 1e6),
    ("KV cache, kB per token", "kv_cache_bytes_per_token", 1e3),
    ("MFLOP per decoded token", "decode_flops_per_token", 1e6),
    ("MFLOP per token of the prompt", "prefill_flops_per_token", 1e6),
)
TIMES = (
    ("prefill, tokens/s", "prefill_tokens_per_second", 1.0),
    ("decode, tokens/s", "decode_tokens_per_second", 1.0),
    ("latency p50, ms", "latency_p50_seconds", 1e-3),
    ("latency p95, ms", "latency_p95_seconds", 1e-3),
    ("peak memory, MB", "peak_memory_bytes", 1e6),
)
"""Rows of the table of efficiency, the latter for each batch size: title, name, unit."""


def measured_table(measured: Measured) -> str:
    """Return all numbers by their names, a column for each model."""
    flat = {model: measured.flat(model) for model in measured.models}
    names = dict.fromkeys(name for numbers in flat.values() for name in numbers)
    rows = [(name, *(_number(numbers.get(name)) for numbers in flat.values())) for name in names]
    return table(("", *flat), rows, "l" + "r" * len(flat))


def _number(value: Number | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def zeroshot_table(measured: Measured) -> str:
    """Return the scores of zero-shot tasks before and after pruning, and training where there was any."""
    before, after = (
        cast(dict[str, dict[str, dict[str, float | None]]], scores)
        for scores in (measured.models[BASELINE], measured.final)
    )
    samples = measured.settings["samples"]
    rows = [
        (task, metric, _score(before[task][metric]), _score(score), samples.get(task, {}).get("effective", ""))
        for task, metrics in after.items()
        for metric, score in metrics.items()
    ]
    scores = table(("task", "metric", "before", "after", "questions"), rows, "llrrr")
    return f"{scores}\n\nlm-evaluation-harness {measured.settings['lm_eval']}; ± one standard error."


def _score(score: Mapping[str, float | None]) -> str:
    return f"{score['value']:.4f}" + (f" ± {score['stderr']:.4f}" if score["stderr"] is not None else "")


def efficiency_table(measured: Measured) -> str:
    """Return speed, memory and size, a column for each checkpoint and GGUF file that was measured."""
    flat = {model: measured.flat(model) for model in measured.models}
    batches = dict.fromkeys(name.split(".")[1] for name in flat[BASELINE] if name.startswith("batches."))
    wanted = [*SIZES]
    for batch in batches:
        titled = f"batch {batch.removeprefix('b')}"
        wanted += [(f"{what}, {titled}", f"batches.{batch}.{name}", unit) for what, name, unit in TIMES]
    rows = []
    for what, name, unit in wanted:
        values = {model: numbers[name] for model, numbers in flat.items()}
        if any(values.values()):
            rows.append((what, *(_beside_baseline(model, values, unit) for model in values)))
    return f"{table(('', *map(_form, flat)), rows, 'l' + 'r' * len(flat))}\n\n{_how(measured)}"


def _form(model: str) -> str:
    """Return how a column is headed: ``pruned_q8_0`` is the checkpoint ``pruned`` as q8_0."""
    checkpoint, _, gguf_type = model.partition("_")
    return f"{checkpoint}, {gguf_type}" if gguf_type else checkpoint


def _beside_baseline(model: str, values: Values, unit: float) -> str:
    value, baseline = values[model], values[model.replace(model.partition("_")[0], BASELINE, 1)]
    if not value:
        return ""
    ratio = f" ({value / baseline:.3f})" if baseline and not model.startswith(BASELINE) else ""
    return f"{value / unit:,.1f}{ratio}"


def _how(measured: Measured) -> str:
    told = measured.settings
    how = (
        f"In brackets: divided by the baseline's in the same form. Prompts of {told['prompt']} tokens, "
        f"{told['generate']} tokens decoded, {told['repeats']} runs in turn; {told['dtype']} on "
        f"{told['hardware']['device_name']}, {told['hardware']['threads']} CPU thread(s), "
        f"{told['attention']} attention, plain transformers."
    )
    if "llama_cpp" in told:
        used = told["llama_cpp"]
        how += (
            f" GGUF: llama-cpp-python {used['llama_cpp_python']} on the CPU, {used['threads']} thread(s), "
            f"cache in {used['kv_cache']}."
        )
    return how
