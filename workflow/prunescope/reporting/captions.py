"""What an experiment does, in words: for its page and for the captions of the report."""

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
    if method.combine == "share":
        return f"{method.criterion}, share ({method.prior} prior of each block, shared out among its groups)"
    if not method.temperature:
        return f"{method.criterion}, T = 0 (no prior)"
    tau = method.tau if method.tau == "auto" else format(method.tau, "g")
    return f"{method.criterion}, T = {method.temperature:g}, tau = {tau}"
