"""What an experiment does and what came of it, in words: for its page, the captions and the menus of the report."""

from collections import Counter
from math import exp, log
from pathlib import Path
from statistics import fmean

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import Results, shown
from prunescope.config.resolve import Experiment
from prunescope.config.sections import Method


def captions(experiment: Experiment) -> dict[str, str]:
    """Return ``ratio``, ``method``, ``calibration`` and ``extreme`` (the rate above which a layer is extreme)."""
    settings = experiment.settings
    windows = f"{settings.calibration.samples} windows of {settings.calibration.seq_len} tokens"
    return {
        "ratio": f"{100 * settings.method.ratio:g} %",
        "method": method_in_words(settings.method),
        "calibration": f"{windows} of {experiment.dataset}",
        "extreme": f"{100 * settings.diagnosis.extreme_rate:g} %",
    }


def method_in_words(method: Method) -> str:
    """Return criterion and prior, such as ``taylor, T = 1, tau = 0``."""
    if method.searched:
        return "settings that a search found"
    if method.combine == "share":
        return f"{method.criterion}, share ({method.prior} prior of each block, shared out among its groups)"
    if not method.temperature:
        return f"{method.criterion}, T = 0 (no prior)"
    tau = method.tau if method.tau == "auto" else format(method.tau, "g")
    return f"{method.criterion}, T = {method.temperature:g}, tau = {tau}"


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
        "perplexity": f"{_mean(perplexity.baseline)} → {_mean(perplexity.pruned)}",
        "findings": ", ".join(f"{counted[severity]} {severity}" for severity in counted) or "none",
    }


def _mean(results: Results) -> str:
    mean = exp(fmean(log(result.perplexity) for protocols in results.values() for result in protocols.values()))
    return shown(mean, digits=1)
