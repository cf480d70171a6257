"""Sections of the page about what was measured, as Markdown."""

from typing import Any

LEAKAGE = {
    "source": "{} draws on the source of `{}` too. No document is in both splits, but the domain is the "
    "same, and the loss of perplexity looks smaller on it than elsewhere.",
    "documents": "**{} uses the very split of `{}` that perplexity is measured on: its figures are no test.**",
}


def perplexity_table(perplexity: dict[str, Any]) -> str:
    """Return perplexity before and after, with intervals, and what must be known to read it."""
    lines = ["| text | protocol | before | after | ratio | tokens |", "|---|---|---:|---:|---:|---:|"]
    for dataset, protocols in perplexity["pruned"].items():
        for protocol, after in protocols.items():
            before, ratio = (perplexity[name][dataset][protocol] for name in ("baseline", "ratio"))
            cells = [_with_interval(item, item["perplexity"]) for item in (before, after)]
            cells.append(_with_interval(ratio, ratio["ratio"]))
            lines.append(f"| {dataset} | {protocol} | {' | '.join(cells)} | {after['tokens']:,} |")
    notes = [
        "In brackets: 95 % bootstrap intervals over windows; that of the ratio is paired (the same windows for both "
        "models). Spans are spread evenly over each test split; compare only with numbers measured the same way."
    ]
    return "\n\n".join(["\n".join(lines), *notes, *_leakages(perplexity["pruned"], "Calibration")])


def recovered_table(measured: dict[str, Any]) -> str:
    """Return the perplexity of the trained model beside those of the pruned and the unpruned one."""
    lines = ["| text | protocol | unpruned | pruned | trained | trained / unpruned | trained / pruned |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for dataset, protocols in measured["recovered"].items():
        for protocol in protocols:
            models = (measured[name][dataset][protocol] for name in ("baseline", "pruned", "recovered"))
            ratios = (measured[name][dataset][protocol] for name in ("ratio", "ratio_to_pruned"))
            cells = [_with_interval(result, result["perplexity"]) for result in models]
            cells += [_with_interval(result, result["ratio"]) for result in ratios]
            lines.append(f"| {dataset} | {protocol} | {' | '.join(cells)} |")
    return "\n\n".join(["\n".join(lines), *_leakages(measured["recovered"], "Calibration or training")])


def _with_interval(result: dict[str, Any], value: float) -> str:
    low_high = " [{:.2f}, {:.2f}]".format(*result["interval"]) if result["interval"] else ""
    return f"{value:.2f}{low_high}"


def _leakages(results: dict[str, Any], who: str) -> list[str]:
    """Return a sentence about every text that `who` knows something of."""
    kinds = {dataset: result["leakage"] for dataset, named in results.items() for result in named.values()}
    return [LEAKAGE[kind].format(who, text) for text, kind in kinds.items() if kind in LEAKAGE]


def zeroshot_table(scores: dict[str, Any]) -> str:
    """Return the scores of zero-shot tasks before and after pruning, and training where there was any."""
    lines = ["## Zero-shot\n", "| task | metric | before | after | questions |", "|---|---|---:|---:|---:|"]
    for task, metrics in scores.get("recovered", scores.get("pruned")).items():
        for metric, after in metrics.items():
            cells = [_with_stderr(score) for score in (scores["baseline"][task][metric], after)]
            questions = scores["settings"]["samples"].get(task, {}).get("effective", "")
            lines.append(f"| {task} | {metric} | {' | '.join(cells)} | {questions} |")
    note = f"lm-evaluation-harness {scores['settings']['lm_eval']}; ± one standard error."
    return "\n".join(lines) + f"\n\n{note}"


def _with_stderr(score: dict[str, float | None]) -> str:
    return f"{score['value']:.4f}" + (f" ± {score['stderr']:.4f}" if score["stderr"] is not None else "")


def efficiency_table(measured: dict[str, Any]) -> str:
    """Return speed, memory and size, a column for each checkpoint and GGUF file that was measured."""
    settings, names = measured["settings"], [name for name in measured if name != "settings"]
    rows = [
        ("checkpoint, MB", "checkpoint_bytes", 1e6),
        ("KV cache, kB per token", "kv_cache_bytes_per_token", 1e3),
        ("MFLOP per decoded token", "decode_flops_per_token", 1e6),
        ("MFLOP per token of the prompt", "prefill_flops_per_token", 1e6),
    ]
    timed = [
        ("prefill, tokens/s", "prefill_tokens_per_second", 1),
        ("decode, tokens/s", "decode_tokens_per_second", 1),
        ("latency p50, ms", "latency_p50_seconds", 1e-3),
        ("latency p95, ms", "latency_p95_seconds", 1e-3),
        ("peak memory, MB", "peak_memory_bytes", 1e6),
    ]
    lines = ["## Efficiency\n", f"| | {' | '.join(map(_form, names))} |", "|---" + "|---:" * len(names) + "|"]
    lines += [_measured_row(what, {name: measured[name][key] for name in names}, unit) for what, key, unit in rows]
    for batch in measured["baseline"]["batches"]:
        lines += [
            _measured_row(
                f"{what}, batch {batch.removeprefix('b')}",
                {name: measured[name]["batches"][batch][key] for name in names},
                unit,
            )
            for what, key, unit in timed
        ]
    note = (
        f"In brackets: divided by the baseline's in the same form. Prompts of {settings['prompt']} tokens, "
        f"{settings['generate']} tokens decoded, {settings['repeats']} runs in turn; {settings['dtype']} on "
        f"{settings['hardware']['device_name']}, {settings['hardware']['threads']} CPU thread(s), "
        f"{settings['attention']} attention, plain transformers."
    )
    if "llama_cpp" in settings:
        llama_cpp = settings["llama_cpp"]
        note += (
            f" GGUF: llama-cpp-python {llama_cpp['llama_cpp_python']} on the CPU, {llama_cpp['threads']} thread(s), "
            f"cache in {llama_cpp['kv_cache']}."
        )
    return "\n".join(line for line in lines if line) + f"\n\n{note}"


def _form(name: str) -> str:
    """Return how a column is headed: ``pruned_q8_0`` is the checkpoint ``pruned`` as q8_0."""
    checkpoint, _, gguf_type = name.partition("_")
    return f"{checkpoint}, {gguf_type}" if gguf_type else checkpoint


def _measured_row(what: str, values: dict[str, float | None], unit: float) -> str:
    """Return a row of the table, empty where nothing was measured."""
    if not any(values.values()):
        return ""
    cells = []
    for name, value in values.items():
        baseline = values[name.replace(name.partition("_")[0], "baseline", 1)]
        ratio = f" ({value / baseline:.3f})" if value and baseline and not name.startswith("baseline") else ""
        cells.append(f"{value / unit:,.1f}{ratio}" if value else "")
    return f"| {what} | {' | '.join(cells)} |"
