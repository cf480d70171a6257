"""An experiment in a line, for the menus of the report."""

from collections import Counter
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any

from prunescope.files import read_json


def headline(page: str) -> dict[str, str]:
    """Return what was removed, perplexity before and after (geometric mean of all), and the findings.

    Args:
        page: a file of the experiment's own folder.
    """
    folder = Path(page).parent
    perplexity = read_json(folder / "evaluation/perplexity.json")
    findings = read_json(folder / "analysis/gradient_diagnosis.json")["diagnosis"]
    counted = Counter(finding["severity"] for finding in findings)
    return {
        "result": "page",
        "removed": f"{read_json(folder / 'analysis/pruning_summary.json')['ratio_of_total']:.1%}",
        "perplexity": " → ".join(f"{_mean(perplexity[model]):,.1f}" for model in ("baseline", "pruned")),
        "findings": ", ".join(f"{counted[severity]} {severity}" for severity in counted) or "none",
    }


def _mean(texts: dict[str, dict[str, Any]]) -> float:
    return exp(fmean(log(result["perplexity"]) for protocols in texts.values() for result in protocols.values()))
