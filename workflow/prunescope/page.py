"""The experiment's own page (README.md), its resolved configuration and what tracking needs."""

from pathlib import Path
from typing import Any

import yaml

from prunescope.config.specs import PageSpec
from prunescope.files import read_json, write_json, write_text
from prunescope.models.facts import ModelFacts
from prunescope.tracking.record import flatten


def write_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> None:
    """Write ``README.md``, ``config.yaml`` and ``experiment.json`` into an experiment's directory."""
    settings = spec.settings.model_dump(mode="json")
    identity = {"key": spec.key, "model": spec.model, "experiment": spec.experiment}
    write_text(
        directory / "config.yaml",
        yaml.safe_dump(identity | {"dataset": spec.dataset} | settings, sort_keys=False, allow_unicode=True),
    )
    write_json(
        directory / "experiment.json",
        identity | {"params": {"dataset": spec.dataset} | flatten(settings), "shared": spec.shared},
    )
    write_text(directory / "README.md", render_page(spec, facts, directory))


def render_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> str:
    """Return the page as Markdown: what was done, the numbers, the findings, how to load it."""
    summary = read_json(directory / "analysis/pruning_summary.json")
    diagnosis = read_json(directory / "analysis/gradient_diagnosis.json")
    perplexity = read_json(directory / "evaluation/perplexity.json")
    sections = [
        f"# {spec.model} / {spec.experiment}",
        _what(spec, facts, summary),
        "## Perplexity\n\n" + _perplexity_table(perplexity),
        "## Diagnosis\n\n" + _findings(diagnosis),
        "![Gradient analysis](visualization/gradient_analysis.png)",
        "![Pruning rates](visualization/pruning_rates.png)",
        "![Importance](visualization/importance_heatmap.png)",
        *(["![Before and after](visualization/before_after.png)"] if spec.settings.report.reference else []),
        "## Load it\n\n" + _loading(directory),
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
    lines = ["| text | window | before | after | tokens |", "|---|---:|---:|---:|---:|"]
    for dataset, protocols in perplexity["pruned"].items():
        for protocol, after in protocols.items():
            before = perplexity["baseline"][dataset][protocol]
            lines.append(
                f"| {dataset} | {after['window']} | {before['perplexity']:.2f} | {after['perplexity']:.2f} "
                f"| {after['tokens']:,} |"
            )
    note = "Windows are spread evenly over each test split; compare only with numbers measured the same way."
    return "\n".join(lines) + f"\n\n{note}"


def _findings(diagnosis: dict[str, Any]) -> str:
    lines = []
    for finding in diagnosis["diagnosis"]:
        lines.append(f"- **{finding['severity']}: {finding['issue']}.** {finding['description']}")
        lines.append(f"  {finding['recommendation']}")
        if (finding.get("remedy") or {}).get("command"):
            lines.append(f"  `{finding['remedy']['command']}`")
    return "\n".join(lines)


def _loading(directory: Path) -> str:
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

path = "{directory}/model"
model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)  # the layers differ in width
tokenizer = AutoTokenizer.from_pretrained(path)
```

Where Prunescope is installed, `prunescope.models.pruned.register_pruned_architectures()` makes
`trust_remote_code` unnecessary."""
