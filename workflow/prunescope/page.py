"""The experiment's own page (README.md), its resolved configuration and what tracking needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from prunescope.config.specs import PageSpec
from prunescope.evaluation.card import protocol_card
from prunescope.files import read_json, write_json, write_text
from prunescope.model_card import how_to_load, render_card
from prunescope.models.facts import ModelFacts
from prunescope.pruning.plan import PruningPlan
from prunescope.tracking.record import flatten

LEAKAGE = {
    "source": "Calibration draws on the source of `{}` too. No document is in both splits, but the domain is the "
    "same, and the loss of perplexity looks smaller on it than elsewhere.",
    "documents": "**Calibration uses the very split of `{}` that perplexity is measured on: its figures are no test.**",
}


def write_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> None:
    """Write ``README.md``, ``config.yaml``, ``experiment.json`` and ``evaluation/card.json`` of an experiment.

    And ``model/README.md``, the card of the checkpoint: perplexity, which it tells, is known only now.
    """
    settings = spec.settings.model_dump(mode="json")
    identity = {"key": spec.key, "model": spec.model, "experiment": spec.experiment}
    write_text(
        directory / "config.yaml",
        yaml.safe_dump(identity | {"dataset": spec.dataset} | settings, sort_keys=False, allow_unicode=True),
    )
    write_json(
        directory / "experiment.json",
        identity
        | {"params": {"dataset": spec.dataset} | flatten(settings), "shared": spec.shared, "steps": spec.steps},
    )
    write_json(directory / "evaluation/card.json", protocol_card(spec, facts, directory))
    write_text(directory / "README.md", render_page(spec, facts, directory))
    write_text(directory / "model/README.md", _card(spec, facts, directory))


def render_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> str:
    """Return the page as Markdown: what was done, the numbers, the findings, how to load it."""
    summary = read_json(directory / "analysis/pruning_summary.json")
    diagnosis = read_json(directory / "analysis/gradient_diagnosis.json")
    perplexity = read_json(directory / "evaluation/perplexity.json")
    sections = [
        f"# {spec.model} / {spec.experiment}",
        _what(spec, facts, summary),
        "## Perplexity\n\n" + _perplexity_table(perplexity),
        *(_optional(directory, step, draw) for step, draw in OPTIONAL.items() if step in spec.steps),
        "## Diagnosis\n\n" + _findings(diagnosis),
        "![Gradient analysis](visualization/gradient_analysis.png)",
        "![Pruning rates](visualization/pruning_rates.png)",
        "![Importance](visualization/importance_heatmap.png)",
        *(["![Before and after](visualization/before_after.png)"] if spec.settings.report.reference else []),
        "## Protocol\n\n" + _protocol(read_json(directory / "evaluation/card.json")),
        "## Load it\n\n" + how_to_load(f"{directory}/model"),
    ]
    return "\n\n".join(sections) + "\n"


def _what(spec: PageSpec, facts: ModelFacts, summary: dict[str, Any]) -> str:
    method, calibration = spec.settings.method, spec.settings.calibration
    prior = (
        f"T = {method.temperature:g}, tau = {method.tau if method.tau == 'auto' else format(method.tau, 'g')}"
        if method.temperature
        else "T = 0 (no prior)"
    )
    origin = facts.origin + (f" at {facts.revision}" if facts.revision else "")
    rows = [
        ("parent", f"{origin} ({spec.parent_license or 'licence unknown'})"),
        ("criterion", f"{method.criterion}, {prior}"),
        (
            "calibration",
            f"{spec.dataset} ({spec.data_license or 'licence unknown'}), {calibration.samples} windows of "
            f"{calibration.seq_len} tokens",
        ),
        ("parameters", f"{summary['total_parameters']:,} -> {summary['remaining_parameters']:,}"),
        ("removed, of all parameters", f"{summary['ratio_of_total']:.2%}"),
        ("removed, of the decoder layers", f"{summary['ratio_of_decoder']:.2%}"),
        ("attention / MLP rate", f"{summary['attention_rate']:.1%} / {summary['mlp_rate']:.1%}"),
        ("layers dropped", ", ".join(map(str, summary["layers_dropped"])) or "none"),
    ]
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _perplexity_table(perplexity: dict[str, Any]) -> str:
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
    notes += [LEAKAGE[kind].format(text) for text, kind in _leakages(perplexity).items() if kind in LEAKAGE]
    return "\n\n".join(["\n".join(lines), *notes])


def _with_interval(result: dict[str, Any], value: float) -> str:
    low_high = " [{:.2f}, {:.2f}]".format(*result["interval"]) if result["interval"] else ""
    return f"{value:.2f}{low_high}"


def _leakages(perplexity: dict[str, Any]) -> dict[str, str]:
    return {
        dataset: result["leakage"]
        for dataset, protocols in perplexity["pruned"].items()
        for result in protocols.values()
    }


def _zeroshot_table(scores: dict[str, Any]) -> str:
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


def _efficiency_table(measured: dict[str, Any]) -> str:
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


OPTIONAL = {"zeroshot": _zeroshot_table, "efficiency": _efficiency_table}
"""Sections of the page for the optional steps, drawn from ``evaluation/{step}.json``."""


def _optional(directory: Path, step: str, draw: Callable[[dict[str, Any]], str]) -> str:
    return draw(read_json(directory / f"evaluation/{step}.json"))


def _findings(diagnosis: dict[str, Any]) -> str:
    lines = []
    for finding in diagnosis["diagnosis"]:
        lines.append(f"- **{finding['severity']}: {finding['issue']}.** {finding['description']}")
        lines.append(f"  {finding['recommendation']}")
        if (finding.get("remedy") or {}).get("command"):
            lines.append(f"  `{finding['remedy']['command']}`")
    return "\n".join(lines)


def _protocol(card: dict[str, Any]) -> str:
    pruning, calibration, hardware = card["pruning"], card["calibration"], card["hardware"]
    compute = {f"{found['dtype']} on {found['device']}" for found in card["compute"].values() if "dtype" in found}
    rows = [
        (
            "removed",
            f"{pruning['removed_of_total']:.4%} of all parameters, {pruning['removed_of_decoder']:.4%} of the decoder "
            f"layers (asked: {pruning['asked_of_total']:.4%} of all)",
        ),
        ("calibration tokens", f"{_text(calibration)}, seed {calibration['seed']}, `{calibration['sha256'][:16]}`"),
    ]
    for dataset, text in card["evaluation"].items():
        hashes = ", ".join(f"{name} `{found['sha256'][:16]}`" for name, found in text["protocols"].items())
        rows.append((f"test tokens, {dataset}", f"{_text(text)}, {text['split']}, no BOS: {hashes}"))
    rows += [
        ("computed", f"{', '.join(sorted(compute))}; {hardware['device_name']}, {hardware['system']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in card["versions"].items())),
        ("commit", card["git_sha"] or "not in a git checkout"),
    ]
    table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"{table}\n\nIn full, with whole hashes: `evaluation/card.json`."


def _text(described: dict[str, Any]) -> str:
    return described["source"] + (f" at {described['revision']}" if described["revision"] else "")


def _card(spec: PageSpec, facts: ModelFacts, directory: Path) -> str:
    return render_card(
        spec,
        facts,
        PruningPlan.read(directory / "analysis/plan.json", facts),
        sum(file.stat().st_size for file in (directory / "model").glob("*.safetensors")),
        what=_what(spec, facts, read_json(directory / "analysis/pruning_summary.json")),
        scores=_perplexity_table(read_json(directory / "evaluation/perplexity.json")),
    )
