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
    """Return the scores of zero-shot tasks before and after."""
    lines = ["## Zero-shot\n", "| task | metric | before | after | questions |", "|---|---|---:|---:|---:|"]
    for task, metrics in scores["pruned"].items():
        for metric, after in metrics.items():
            cells = [_with_stderr(score) for score in (scores["baseline"][task][metric], after)]
            questions = scores["settings"]["samples"].get(task, {}).get("effective", "")
            lines.append(f"| {task} | {metric} | {' | '.join(cells)} | {questions} |")
    note = f"lm-evaluation-harness {scores['settings']['lm_eval']}; ± one standard error."
    return "\n".join(lines) + f"\n\n{note}"


def _with_stderr(score: dict[str, float | None]) -> str:
    return f"{score['value']:.4f}" + (f" ± {score['stderr']:.4f}" if score["stderr"] is not None else "")


def efficiency_table(measured: dict[str, Any]) -> str:
    """Return speed, memory and size before and after."""
    settings, (before, after) = measured["settings"], (measured[name] for name in ("baseline", "pruned"))
    rows = [
        ("checkpoint, MB", "checkpoint_bytes", 1e6),
        ("KV cache, kB per token", "kv_cache_bytes_per_token", 1e3),
        ("MFLOP per decoded token", "decode_flops_per_token", 1e6),
        ("MFLOP per token of the prompt", "prefill_flops_per_token", 1e6),
    ]
    lines = ["## Efficiency\n", "| | before | after | after / before |", "|---|---:|---:|---:|"]
    lines += [_compared(name, before[key], after[key], unit) for name, key, unit in rows]
    timed = [
        ("prefill, tokens/s", "prefill_tokens_per_second", 1),
        ("decode, tokens/s", "decode_tokens_per_second", 1),
        ("latency p50, ms", "latency_p50_seconds", 1e-3),
        ("latency p95, ms", "latency_p95_seconds", 1e-3),
        ("peak memory, MB", "peak_memory_bytes", 1e6),
    ]
    for batch in after["batches"]:
        one, other = (measured["batches"][batch] for measured in (before, after))
        lines += [
            _compared(f"{name}, batch {batch.removeprefix('b')}", one[key], other[key], unit)
            for name, key, unit in timed
            if one[key] and other[key]
        ]
    note = (
        f"Prompts of {settings['prompt']} tokens, {settings['generate']} tokens decoded, {settings['repeats']} runs in "
        f"turn; {settings['dtype']} on {settings['hardware']['device_name']}, "
        f"{settings['hardware']['threads']} CPU thread(s), "
        f"{settings['attention']} attention, plain transformers."
    )
    return "\n".join(lines) + f"\n\n{note}"


def _compared(name: str, before: float, after: float, unit: float) -> str:
    return f"| {name} | {before / unit:,.1f} | {after / unit:,.1f} | {after / before:.3f} |"
