"""Sections of the page about what was done and found, as Markdown."""

from typing import Any

from prunescope.artifacts.facts import ModelFacts
from prunescope.reporting.captions import method_in_words
from prunescope.steps.reporting import PageSpec


def settings_table(spec: PageSpec, facts: ModelFacts, summary: dict[str, Any]) -> str:
    """Return what was done, by which settings, and how much went."""
    calibration = spec.settings.calibration
    origin = facts.origin + (f" at {facts.revision}" if facts.revision else "")
    rows = [
        ("parent", f"{origin} ({spec.parent_license or 'licence unknown'})"),
        ("criterion", method_in_words(spec.settings.method)),
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


def findings_list(diagnosis: dict[str, Any]) -> str:
    """Return the findings with their recommendations."""
    lines = []
    for finding in diagnosis["diagnosis"]:
        lines.append(f"- **{finding['severity']}: {finding['issue']}.** {finding['description']}")
        lines.append(f"  {finding['recommendation']}")
        if (finding.get("remedy") or {}).get("command"):
            lines.append(f"  `{finding['remedy']['command']}`")
    return "\n".join(lines)


def protocol_table(card: dict[str, Any]) -> str:
    """Return what must be the same before figures are compared."""
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
