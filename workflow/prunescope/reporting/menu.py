"""An experiment in a line, for the menus of Snakemake's report."""

from collections import Counter
from math import exp, log
from pathlib import Path
from statistics import fmean

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import Results


def menu_entry(page: str) -> dict[str, str]:
    """Return what was removed, perplexity before and after (geometric mean of all), and the findings.

    Args:
        page: a file of the experiment's own folder.
    """
    folder = ExperimentFolder(Path(page).parent)
    perplexity = folder.perplexity.read()
    counted = Counter(finding.severity for finding in folder.diagnosis.read().diagnosis)
    return {
        "result": "page",
        "removed": f"{folder.summary.read().ratio_of_total:.1%}",
        "perplexity": f"{_mean(perplexity.baseline):,.1f} → {_mean(perplexity.pruned):,.1f}",
        "findings": ", ".join(f"{counted[severity]} {severity}" for severity in counted) or "none",
    }


def _mean(results: Results) -> float:
    return exp(fmean(log(result.perplexity) for protocols in results.values() for result in protocols.values()))
